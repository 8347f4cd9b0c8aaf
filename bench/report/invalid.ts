/** A run that lost or garbled anything says nothing about speed. */
export class InvalidRun extends Error {
  override readonly name = "InvalidRun";
}

export function invalid(why: string): InvalidRun {
  return new InvalidRun(`The run is invalid: ${why}`);
}
