/** Words of a statement. Every character is looked at once. */
import { type DynamoError, validationError } from '../errors/index.ts';

export type WordKind = 'word' | 'quoted' | 'string' | 'number' | 'symbol' | 'end';

export interface Word {
  readonly kind: WordKind;
  /** Without quotes; names and strings with their doubled quotes made one. */
  readonly text: string;
}

const WORD = new RegExp(
  [
    '(?<blank>\\s+|--[^\\n]*)',
    '(?<word>[A-Za-z_][A-Za-z0-9_]*)',
    '"(?<quoted>(?:[^"]|"")*)"',
    "'(?<string>(?:[^']|'')*)'",
    '(?<number>(?:[0-9]+(?:\\.[0-9]*)?|\\.[0-9]+)(?:[eE][+-]?[0-9]+)?)',
    '(?<symbol><<|>>|<=|>=|<>|!=|[=<>()\\[\\]{},.:*?;+-])',
  ].join('|'),
  'suy',
);

/** A statement is not what the grammar has. */
export const malformed = (problem: string): DynamoError =>
  validationError(`Statement wasn't well formed, can't be processed: ${problem}`);

/**
 * Takes a statement apart; the last word is the end.
 * @throws DynamoError ValidationException at what is no word
 */
export function wordsOf(text: string): Word[] {
  const words: Word[] = [];
  let at = 0;
  while (at < text.length) {
    WORD.lastIndex = at;
    const match = WORD.exec(text);
    if (match === null) throw malformed(`Unexpected character: ${String.fromCodePoint(text.codePointAt(at)!)}`);
    at += match[0].length;
    const { blank, word, quoted, string, number, symbol } = match.groups!;
    if (blank !== undefined) continue;
    if (word !== undefined) words.push({ kind: 'word', text: word });
    else if (quoted !== undefined) words.push({ kind: 'quoted', text: quoted.replaceAll('""', '"') });
    else if (string !== undefined) words.push({ kind: 'string', text: string.replaceAll("''", "'") });
    else if (number !== undefined) words.push({ kind: 'number', text: number });
    else words.push({ kind: 'symbol', text: symbol! });
  }
  words.push({ kind: 'end', text: '<EOF>' });
  return words;
}
