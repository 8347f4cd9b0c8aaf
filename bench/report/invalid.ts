/** The run lost or garbled something, so its times mean nothing. */
export class InvalidRun extends Error {
  override readonly name = "InvalidRun";
}

export function invalid(why: string): InvalidRun {
  return new InvalidRun(`The run is invalid: ${why}`);
}
