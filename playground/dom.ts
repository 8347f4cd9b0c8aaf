/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** Elements: finding, creating, and drawing them when the browser is ready to draw. Text is never parsed as markup. */

type Child = Node | string | false | undefined;

/** The element of the page with this id. Throws if the page has no such element of this kind. */
export function find<E extends Element>(id: string, kind: new () => E): E {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`Cannot start: the page has no ${kind.name} #${id}`);
}

/** Creates an element; children that are false or undefined are omitted. */
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

/** Creates an SVG element. */
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

/** Creates a button with an action. */
export function button(
  words: string,
  attributes: Readonly<Record<string, string>>,
  act: () => void,
): HTMLButtonElement {
  const made = el("button", { type: "button", ...attributes }, words);
  made.addEventListener("click", act);
  return made;
}

/** Sets an element's text only if it has changed, so that nothing is drawn or read out twice. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Returns a function that schedules `draw`. Several calls cause one draw: at the next animation frame, or later in a
 * hidden tab.
 */
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

/** The time of day, to the second. */
export function clockTime(timestamp: string | number = Date.now()): string {
  return new Date(timestamp).toLocaleTimeString([], { hour12: false });
}
