/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** Elements: found, made, and drawn when the browser is ready to draw. Text only ever becomes text. */

type Child = Node | string | false | undefined;

/** The element of the page with this id. Throws where the page has none of that kind. */
export function find<E extends Element>(id: string, kind: new () => E): E {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`Cannot start: the page has no ${kind.name} #${id}`);
}

/** Makes an element; children that are false or undefined are left out. */
export function el<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Readonly<Record<string, string>> = {},
  ...children: Child[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  for (const child of children) if (child !== undefined && child !== false) element.append(child);
  return element;
}

/** Makes a part of a drawing. */
export function svg(
  name: string,
  attributes: Readonly<Record<string, string>>,
  ...children: Node[]
): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** A button that does something. */
export function button(
  words: string,
  attributes: Readonly<Record<string, string>>,
  act: () => void,
): HTMLButtonElement {
  const made = el("button", { type: "button", ...attributes }, words);
  made.addEventListener("click", act);
  return made;
}

/** Sets an element's text where it has changed, so that nothing is drawn or read out twice. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Calls `draw` soon after being called, once however often that was: with the next picture, or later in a hidden tab. */
export function coalesced(draw: () => void): () => void {
  let isWaiting = false;
  const run = (): void => {
    isWaiting = false;
    draw();
  };
  return () => {
    if (isWaiting) return;
    isWaiting = true;
    if (document.hidden) setTimeout(run, 100);
    else requestAnimationFrame(run);
  };
}

/** Time of day, to the second. */
export function clockTime(timestamp: string | number = Date.now()): string {
  return new Date(timestamp).toLocaleTimeString([], { hour12: false });
}
