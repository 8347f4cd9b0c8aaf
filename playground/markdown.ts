/** Parses the part of Markdown that answers use: headings, lists, code, bold, italic. The rest stays as plain text. */

/** A run of text in one style. */
export interface Span {
  style: "plain" | "bold" | "italic" | "code";
  text: string;
}

/** One block; `source` is its original text. */
export type Block =
  & { source: string }
  & (
    | { kind: "heading" | "paragraph"; spans: Span[] }
    | { kind: "code"; text: string }
    | { kind: "list"; isOrdered: boolean; items: Span[][] }
  );

const FENCE = /^\s*```/;
const HEADING = /^#{1,6}\s+/;
const ITEM = /^\s*(?:[-*]|(\d+)[.)])\s+/;
const STYLED = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*/g;

/** Parses a text, even if it ends in the middle of a construct. */
export function parseMarkdown(text: string): Block[] {
  const blocks: Block[] = [];
  const lines = text.split("\n");
  for (let at = 0; at < lines.length;) {
    const line = lines[at] ?? "";
    if (line.trim() === "") {
      at++;
      continue;
    }
    const end = endOfBlock(lines, at);
    blocks.push(readBlock(lines.slice(at, end)));
    at = end;
  }
  return blocks;
}

/** The styled runs of a line. */
export function parseSpans(text: string): Span[] {
  const spans: Span[] = [];
  let at = 0;
  const plain = (end: number): void => {
    if (end > at) spans.push({ style: "plain", text: text.slice(at, end) });
  };
  for (const match of text.matchAll(STYLED)) {
    plain(match.index);
    const [whole, code, bold, italic] = match;
    if (code !== undefined) spans.push({ style: "code", text: code });
    else if (bold !== undefined) spans.push({ style: "bold", text: bold });
    else spans.push({ style: "italic", text: italic ?? "" });
    at = match.index + whole.length;
  }
  plain(text.length);
  return spans;
}

function endOfBlock(lines: readonly string[], start: number): number {
  const first = lines[start] ?? "";
  if (FENCE.test(first)) {
    const closing = lines.findIndex((line, at) => at > start && FENCE.test(line));
    return closing < 0 ? lines.length : closing + 1;
  }
  if (HEADING.test(first)) return start + 1;
  const isList = ITEM.test(first);
  let end = start + 1;
  for (; end < lines.length; end++) {
    const line = lines[end] ?? "";
    if (line.trim() === "" || FENCE.test(line) || HEADING.test(line)) break;
    if (!isList && ITEM.test(line)) break;
  }
  return end;
}

function readBlock(lines: readonly string[]): Block {
  const source = lines.join("\n");
  const first = lines[0] ?? "";
  if (FENCE.test(first)) {
    const isClosed = lines.length > 1 && FENCE.test(lines.at(-1) ?? "");
    return { kind: "code", source, text: lines.slice(1, isClosed ? -1 : undefined).join("\n") };
  }
  if (HEADING.test(first)) {
    return { kind: "heading", source, spans: parseSpans(first.replace(HEADING, "")) };
  }
  if (!ITEM.test(first)) return { kind: "paragraph", source, spans: parseSpans(source) };
  const items: string[] = [];
  for (const line of lines) {
    if (ITEM.test(line)) items.push(line.replace(ITEM, ""));
    else items.push(`${items.pop() ?? ""}\n${line.trim()}`);
  }
  const isOrdered = ITEM.exec(first)?.[1] !== undefined;
  return { kind: "list", source, isOrdered, items: items.map(parseSpans) };
}
