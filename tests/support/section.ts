/** The generated parts of a page, between `<!-- name:begin -->` and `<!-- name:end -->`. */

export interface Section {
  name: string;
  /** Without the line breaks around it. */
  text: string;
}

/** The page with one section replaced. Throws if its markers are missing. */
export function withSection(markdown: string, { name, text }: Section): string {
  const [start, end] = bounds(markdown, name);
  return `${markdown.slice(0, start)}\n\n${text}\n\n${markdown.slice(end)}`;
}

/** The text of a section. Throws if its markers are missing. */
export function sectionOf(markdown: string, name: string): string {
  const [start, end] = bounds(markdown, name);
  return markdown.slice(start, end).trim();
}

function bounds(markdown: string, name: string): [start: number, end: number] {
  const begin = `<!-- ${name}:begin -->`;
  const start = markdown.indexOf(begin);
  const end = markdown.indexOf(`<!-- ${name}:end -->`);
  if (start < 0 || end < start) throw new Error(`Cannot find section ${name}: ${begin} … is missing`);
  return [start + begin.length, end];
}
