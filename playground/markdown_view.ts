/** Shows a model's text while it is written. Unchanged blocks keep their elements. */

import { el } from "./dom.ts";
import { type Block, parseMarkdown, type Span } from "./markdown.ts";

const TAGS = { bold: "strong", italic: "em", code: "code" } as const;

export class MarkdownView {
  readonly element: HTMLElement = el("div", { class: "text" });
  #sources: string[] = [];

  show(text: string): void {
    const blocks = parseMarkdown(text);
    blocks.forEach((block, at) => {
      if (this.#sources[at] === block.source) return;
      const drawn = drawBlock(block);
      const shown = this.element.children[at];
      if (shown === undefined) this.element.append(drawn);
      else shown.replaceWith(drawn);
    });
    while (this.element.children.length > blocks.length) this.element.lastElementChild?.remove();
    this.#sources = blocks.map(({ source }) => source);
  }
}

function drawBlock(block: Block): HTMLElement {
  switch (block.kind) {
    case "heading":
      return el("h3", {}, ...block.spans.map(drawSpan));
    case "paragraph":
      return el("p", {}, ...block.spans.map(drawSpan));
    case "code":
      return el("pre", { tabindex: "0", "aria-label": "Code" }, el("code", {}, block.text));
    case "list": {
      const items = block.items.map((spans) => el("li", {}, ...spans.map(drawSpan)));
      return el(block.isOrdered ? "ol" : "ul", {}, ...items);
    }
  }
}

function drawSpan({ style, text }: Span): Node {
  return style === "plain" ? document.createTextNode(text) : el(TAGS[style], {}, text);
}
