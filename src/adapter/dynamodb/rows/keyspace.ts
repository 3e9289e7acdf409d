/** What this adapter declares of its keys to the layers below and beside it. */
import { type KeyRange, type KeyspaceDeclaration, KeyTextError } from '../../../distribution/index.ts';
import { DYNAMODB_TAG, FIRST_TABLE, LAST_TABLE, tableRange, tokenPrefixIn } from './key-space.ts';

/** First bytes of table numbers: 1 to 255. */
const BUCKETS = 255;
/** More groups get tables when ranges are split and moved: a new cluster has few tables, and each part is a range of its directory. */
const MAX_PARTS = 16;

/** `table:N[/token]` in hexadecimal: where a table begins, or the rows of a token. */
function parseTable(text: string): Buffer | undefined {
  if (!text.startsWith('table:')) return undefined;
  const [, table, token] = /^table:([0-9a-f]{1,6})(?:\/([0-9a-f]{8}))?$/i.exec(text) ?? [];
  const id = Number.parseInt(table ?? '', 16);
  if (!(id >= FIRST_TABLE && id <= LAST_TABLE)) {
    throw new KeyTextError(
      `'${text}' is no place in a table: it must be table:N or table:N/token, N from 10000 to ffffff`,
    );
  }
  const { start } = tableRange(id);
  return token === undefined ? start : Buffer.concat([start, Buffer.from(`00${token}`, 'hex')]);
}

function formatTable(key: Buffer): string | undefined {
  const isTable = key.length === 4 && key[1] !== 0;
  if (isTable) return `table:${key.toString('hex', 1)}`;
  const isToken = key.length === 9 && key[1] !== 0 && key[4] === 0;
  return isToken ? `table:${key.toString('hex', 1, 4)}/${key.toString('hex', 5)}` : undefined;
}

/** Tables over groups by the first byte of their numbers; what is the adapter's own goes with the first. */
function foundingParts(count: number): KeyRange[] {
  const parts = Math.min(count, MAX_PARTS);
  const bound = (part: number): Buffer =>
    part === 0
      ? Buffer.of(DYNAMODB_TAG)
      : part === parts
        ? Buffer.of(DYNAMODB_TAG + 1)
        : Buffer.of(DYNAMODB_TAG, 1 + Math.floor((part * BUCKETS) / parts));
  return Array.from({ length: parts }, (_, part) => ({ start: bound(part), end: bound(part + 1) }));
}

/** See `KeyspaceDeclaration`. Ranges are cut between tokens, before the heads that lie at one. */
export const dynamodbKeyspace: KeyspaceDeclaration = {
  name: 'dynamodb',
  tag: DYNAMODB_TAG,
  headLengthOf: (key) => tokenPrefixIn(key)?.length,
  // A row of a table is not told from one of its local indexes without knowing the table.
  counterClassOf: () => undefined,
  counterRangeOf: () => undefined,
  foundingParts,
  parse: parseTable,
  format: formatTable,
};
