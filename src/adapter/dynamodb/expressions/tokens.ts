/** Words of an expression. Every character is looked at once; what is no token is one of kind `bad`, and the grammar refuses it where it stands. */

export type TokenKind = 'name' | 'nameReference' | 'valueReference' | 'number' | 'symbol' | 'bad' | 'end';

export interface Token {
  readonly kind: TokenKind;
  /** As it stands in the text; `<EOF>` for the end. */
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

const TOKEN = new RegExp(
  [
    '(?<blank>[ \\t\\r\\n]+)',
    '(?<name>[A-Za-z][A-Za-z0-9_]*)',
    '(?<nameReference>#[A-Za-z0-9_]+)',
    '(?<valueReference>:[A-Za-z0-9_]+)',
    '(?<number>[0-9]+)',
    '(?<symbol><=|>=|<>|[=<>()[\\],.+-])',
    '(?<bad>.)',
  ].join('|'),
  'gsuy',
);

/** Takes a text apart; the last token is the end. */
export function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  for (const match of text.matchAll(TOKEN)) {
    const groups = match.groups!;
    if (groups.blank !== undefined) continue;
    const kind: TokenKind =
      groups.name !== undefined
        ? 'name'
        : groups.symbol !== undefined
          ? 'symbol'
          : groups.valueReference !== undefined
            ? 'valueReference'
            : groups.nameReference !== undefined
              ? 'nameReference'
              : groups.number !== undefined
                ? 'number'
                : 'bad';
    tokens.push({ kind, text: match[0], start: match.index, end: match.index + match[0].length });
  }
  tokens.push({ kind: 'end', text: '<EOF>', start: text.length, end: text.length });
  return tokens;
}
