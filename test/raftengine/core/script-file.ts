/**
 * Scripts for the Raft core as text. A file opens with comment lines, whose first is the script's title; then come blocks
 * that an empty line parts: commands, a line of four dashes, and what they print. Lines that begin with `#` are comments,
 * before a block and between its commands.
 *
 *     # The leader sends what is proposed.
 *     propose 1 hello
 *     process-ready 1
 *     ----
 *     1 appends 1/2
 *     1 stores 1/2 "hello"
 *     1>2 term 1: append after 1/1 [1/2 "hello"] commit 1
 */

/** Commands that are run together, and what they are to print. */
export interface ScriptBlock {
  /** Comments and commands as they stand in the file. */
  readonly source: readonly string[];
  readonly commands: readonly string[];
  readonly expected: readonly string[];
  /** Line of the file where it begins, for messages. */
  readonly line: number;
}

export interface Script {
  readonly title: string;
  readonly blocks: readonly ScriptBlock[];
}

const DIVIDER = '----';
const isComment = (line: string): boolean => line.startsWith('#');

/** @throws Error that names the line when the text is no script */
export function parseScript(text: string): Script {
  const blocks: ScriptBlock[] = [];
  const lines = text.split('\n');
  for (let at = 0; at < lines.length; ) {
    if (lines[at] === '') {
      at++;
      continue;
    }
    const begin = at;
    while (at < lines.length && lines[at] !== '') at++;
    const block = lines.slice(begin, at);
    const divider = block.indexOf(DIVIDER);
    const source = divider < 0 ? block : block.slice(0, divider);
    const commands = source.filter((line) => !isComment(line));
    if (divider < 0 && commands.length > 0)
      throw new Error(`line ${begin + 1}: commands without ${DIVIDER} behind them`);
    if (divider >= 0 && commands.length === 0)
      throw new Error(`line ${begin + 1}: ${DIVIDER} without commands before it`);
    blocks.push({ source, commands, expected: divider < 0 ? [] : block.slice(divider + 1), line: begin + 1 });
  }
  const [title] = blocks[0]?.source ?? [];
  if (title === undefined || !isComment(title)) throw new Error('a script begins with a comment, which is its title');
  return { title: title.slice(1).trim(), blocks };
}

/** The text of a script whose blocks print `outputs`. */
export function formatScript({ blocks }: Script, outputs: readonly (readonly string[])[]): string {
  const texts = blocks.map(({ source, commands }, at) =>
    [...source, ...(commands.length === 0 ? [] : [DIVIDER, ...outputs[at]!])].join('\n'),
  );
  return `${texts.join('\n\n')}\n`;
}

/** A command in its parts: `propose-conf-change 1 add-voter=4 remove=(2,3)`. */
export interface Command {
  readonly name: string;
  /** Words that are no options. */
  readonly words: readonly string[];
  /** Values by name, lists as they stand. */
  readonly options: ReadonlyMap<string, string>;
}

export function parseCommand(line: string): Command {
  const [name, ...rest] = line.trim().split(/\s+/);
  const words: string[] = [];
  const options = new Map<string, string>();
  for (const part of rest) {
    const equals = part.indexOf('=');
    if (equals < 0) words.push(part);
    else options.set(part.slice(0, equals), part.slice(equals + 1));
  }
  return { name: name!, words, options };
}

/** The numbers of `(1,2,3)` or `1`. */
export function numbersOf(text: string): number[] {
  const inner = /^\((.*)\)$/.exec(text)?.[1] ?? text;
  if (inner === '') return [];
  return inner.split(',').map((part) => {
    const number = Number(part);
    if (!Number.isSafeInteger(number)) throw new Error(`${text} is no list of numbers`);
    return number;
  });
}
