/** Makes the owners of sockets of the AI SDK. This module is loaded with the first of them. */

import type { Socket } from "../ports/runtime.ts";
import { Door } from "./door.ts";
import type { DoorDeps, DoorRequest } from "./door_deps.ts";
import { Listeners } from "./listeners.ts";

export function createDoors(deps: DoorDeps): (port: Socket, request: DoorRequest) => Door {
  const listeners = new Listeners();
  return (port, request) => new Door(port, request, deps, listeners);
}
