/** A reader of the part of EDN that histories are written in. */
export type Edn = null | boolean | number | string | Edn[] | Map<string, Edn>;

/** Reads one value. Keywords are strings that keep their colon. @throws Error on anything else */
export function readEdn(text: string): Edn {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[[\]{}]|[^\s,[\]{}"]+/g) ?? [];
  let at = 0;
  const until = (end: string): Edn[] => {
    const values: Edn[] = [];
    while (tokens[at] !== end) {
      if (at >= tokens.length) throw new Error(`no ${end}`);
      values.push(value());
    }
    at++;
    return values;
  };
  const value = (): Edn => {
    const token = tokens[at++];
    if (token === undefined) throw new Error('nothing to read');
    if (token === '[') return until(']');
    if (token === '{') {
      const flat = until('}');
      if (flat.length % 2 !== 0) throw new Error('a map with a key too many');
      return new Map(
        Array.from({ length: flat.length / 2 }, (_, pair) => [String(flat[2 * pair]), flat[2 * pair + 1]!]),
      );
    }
    if (token.startsWith('"')) return JSON.parse(token) as string;
    if (token === 'nil') return null;
    if (token === 'true' || token === 'false') return token === 'true';
    if (/^:[\w*+!?<>=./-]+$/.test(token)) return token;
    if (/^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(token)) return Number(token);
    throw new Error(`not EDN: ${token}`);
  };
  const read = value();
  if (at !== tokens.length) throw new Error('more than one value');
  return read;
}
