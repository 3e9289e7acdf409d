/** ZSCAN. */
import { openOrdered } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { doubleText, type Reply } from '../../protocol/index.ts';
import { elementCursor, parseElementScan } from '../element-scan.ts';
import { declareSortedSet } from './declare-sorted-set.ts';

/** Redis keeps integers up to here as such in small sets, and ZSCAN prints all their digits. */
const MAX_KEPT_INTEGER = 2 ** 62;

function scan(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const cursor = elementCursor(args[2]!);
  const set = openOrdered(ctx, args[1]!);
  if (set.size === 0) return ['0', []];
  const { atLeast, matches } = parseElementScan(args, false);
  const part = set.scan(cursor, atLeast);
  const isSmall = set.encoding === 'listpack';
  const found = part.entries.filter(({ member }) => matches(member));
  return [String(part.cursor), found.flatMap(({ member, score }) => [member, scoreText(score, isSmall)])];
}

const scoreText = (score: number, isSmall: boolean): string =>
  isSmall && Number.isInteger(score) && Math.abs(score) <= MAX_KEPT_INTEGER
    ? BigInt(score).toString()
    : doubleText(score);

export const sortedSetScanCommands: readonly CommandSpec[] = defineCommands([
  declareSortedSet({
    name: 'zscan',
    arity: -3,
    flags: ['readonly'],
    since: '2.8.0',
    summary: 'Walks over members and scores, a part a call.',
    differences:
      'Goes from low scores to high ones. A member whose score is lowered during the walk may be missed, which Redis rules out.',
    complexity: 'O(N) in COUNT for a call, in the number of members for a walk',
    run: scan,
  }),
]);
