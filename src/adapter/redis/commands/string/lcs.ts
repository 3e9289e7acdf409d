/** LCS: what two strings have in common. */
import { wholeOf } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { errors, MapReply, optionName, RedisError, type Reply, requirePosition } from '../../protocol/index.ts';
import { readValue, ValueType } from '../../values/index.ts';
import { lcsTableBytes, longestCommonSubsequence } from './lcs-ranges.ts';

const EMPTY: Buffer = Buffer.alloc(0);

/** Places of the table that are filled in while a row is read, about: some nanoseconds each. */
const CELLS_A_ROW = 100;
/** So many are filled in where the command is, in a tenth of a second: where no other thread runs, one takes a second to start. */
const MOST_CELLS_HERE = 20_000_000;

interface LcsOptions {
  readonly length: boolean;
  readonly indexes: boolean;
  readonly withMatchLength: boolean;
  readonly minMatchLength: number;
}

function parseOptions(args: readonly Buffer[]): LcsOptions {
  let length = false;
  let indexes = false;
  let withMatchLength = false;
  let minMatchLength = 0;
  for (let index = 3; index < args.length; index++) {
    const name = optionName(args[index]!);
    const argument = args[index + 1];
    if (name === 'LEN') {
      length = true;
    } else if (name === 'IDX') {
      indexes = true;
    } else if (name === 'WITHMATCHLEN') {
      withMatchLength = true;
    } else if (name === 'MINMATCHLEN' && argument !== undefined) {
      minMatchLength = requirePosition(argument);
      index++;
    } else {
      throw errors.syntax();
    }
  }
  if (length && indexes) {
    throw new RedisError('ERR If you want both the length and indexes, please just use IDX.');
  }
  return { length, indexes, withMatchLength, minMatchLength };
}

function lcs(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const [left, right] = [readValue(ctx, args[1]!), readValue(ctx, args[2]!)];
  for (const value of [left, right]) {
    if (value !== undefined && value.type !== ValueType.String) {
      throw new RedisError('ERR The specified keys must contain string values');
    }
  }
  const options = parseOptions(args);
  const a = left === undefined ? EMPTY : wholeOf(ctx, args[1]!, left);
  const b = right === undefined ? EMPTY : wholeOf(ctx, args[2]!, right);
  if (lcsTableBytes(a.length, b.length) > ctx.maxStringBytes) {
    throw new RedisError('ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len');
  }
  const cells = a.length * b.length;
  if (cells > MOST_CELLS_HERE) ctx.view.works?.(cells / CELLS_A_ROW);
  const common = longestCommonSubsequence(a, b);
  if (options.length) return common.bytes.length;
  if (!options.indexes) return common.bytes;
  const matches = common.ranges
    .map((range): Reply[] => [range.a, range.b, range.a[1] - range.a[0] + 1])
    .filter((match) => (match[2] as number) >= options.minMatchLength)
    .map((match) => (options.withMatchLength ? match : match.slice(0, 2)));
  return new MapReply([
    ['matches', matches],
    ['len', common.bytes.length],
  ]);
}

export const lcsCommands: readonly CommandSpec[] = defineCommands([
  {
    name: 'lcs',
    arity: -3,
    flags: ['readonly'],
    keys: { first: 1, last: 2, step: 1 },
    group: 'string',
    since: '7.0.0',
    summary: 'Finds the longest common subsequence of two strings, its length, or the ranges that match.',
    complexity: 'O(N*M) in the lengths of the strings',
    handler: { kind: 'data', run: lcs },
  },
]);
