/**
 * Random command sequences over a few keys, group by group: mostly the group's own commands, what keys of any type take, and now and then
 * another group's (the wrong type), a transaction, the second connection, an argument too many, one missing or one that belongs elsewhere.
 *
 * A new group is a file that exports a `SequenceGroup` made of the words in `words.ts`, and one line in `GROUPS`.
 */
import fc from 'fast-check';
import type { CommandLine } from '../resp-connection.ts';
import { bitmapGroup } from './bitmap.ts';
import { dumpGroup } from './dump.ts';
import { commonCommands, genericGroup } from './generic.ts';
import { geoGroup } from './geo.ts';
import type { SequenceGroup } from './group.ts';
import { hashGroup } from './hash.ts';
import { hyperLogLogGroup } from './hyperloglog.ts';
import { listGroup } from './list.ts';
import { numberGroup } from './number.ts';
import { serverGroup } from './server.ts';
import { setGroup } from './set.ts';
import { sortGroup } from './sort.ts';
import { sortedSetGroup } from './sorted-set.ts';
import { streamGroup, streamProgressGroup } from './stream.ts';
import { stringGroup } from './string.ts';
import { transactionGroup } from './transaction.ts';
import { badFloat, key, value, type Words } from './words.ts';

/** One step of a sequence. */
export type Step =
  /** A command on one of the two connections. */
  | { readonly on: 0 | 1; readonly command: CommandLine }
  /** A whole iteration: the words in front of the cursor, and those behind it. What is found is compared as a set. */
  | { readonly on: 0 | 1; readonly scan: CommandLine; readonly options: CommandLine }
  /** A command that removes members that the server chooses. */
  | { readonly on: 0 | 1; readonly pop: CommandLine };

export const GROUPS: readonly SequenceGroup[] = [
  bitmapGroup,
  dumpGroup,
  genericGroup,
  geoGroup,
  hashGroup,
  hyperLogLogGroup,
  listGroup,
  numberGroup,
  serverGroup,
  setGroup,
  sortGroup,
  sortedSetGroup,
  streamGroup,
  streamProgressGroup,
  stringGroup,
  transactionGroup,
];

const STEPS_A_SPECIAL_ONE = 20;

/** Takes an argument away, adds one, or puts one in another's place. */
const damaged = (line: Words): Words =>
  fc
    .tuple(line, fc.nat(), fc.constantFrom('drop', 'add', 'replace'), fc.oneof(value, key, badFloat))
    .map(([intact, at, how, spare]) => {
      const index = intact.length === 1 ? 1 : 1 + (at % (intact.length - 1));
      if (how === 'drop') return [...intact.slice(0, index), ...intact.slice(index + 1)];
      if (how === 'add') return [...intact, spare];
      return intact.length === 1 ? intact : [...intact.slice(0, index), spare, ...intact.slice(index + 1)];
    });

const connection = fc.oneof({ weight: 5, arbitrary: fc.constant<0>(0) }, { weight: 1, arbitrary: fc.constant<1>(1) });

function stepsOf(group: SequenceGroup): fc.Arbitrary<Step> {
  const { commands, scans = [], scanOption = fc.constant([]), pops = [], others = 2 } = group;
  const anyCommand = fc.oneof(
    { weight: 12, arbitrary: fc.oneof(...commands) },
    { weight: 4, arbitrary: fc.oneof(...commonCommands) },
    { weight: others, arbitrary: fc.oneof(...GROUPS.flatMap((other) => (other === group ? [] : other.commands))) },
    { weight: 1, arbitrary: fc.oneof(...transactionGroup.commands) },
  );
  const plain = fc.record({
    on: connection,
    command: fc.oneof({ weight: 12, arbitrary: anyCommand }, { weight: 1, arbitrary: damaged(anyCommand) }),
  });
  const options = fc.array(scanOption, { maxLength: 2 }).map((parts) => parts.flat());
  const special = [
    ...scans.map((scan) => fc.record({ on: connection, scan, options })),
    ...pops.map((pop) => fc.record({ on: connection, pop })),
  ];
  return special.length === 0
    ? plain
    : fc.oneof({ weight: STEPS_A_SPECIAL_ONE, arbitrary: plain }, { weight: 1, arbitrary: fc.oneof(...special) });
}

/** Commands over all groups at once, and the change of protocol: kvorum refuses them in a transaction. */
const WHOLE_CLUSTER = new Set(['SCAN', 'KEYS', 'DBSIZE', 'RANDOMKEY', 'FLUSHDB', 'FLUSHALL']);
const isRefusedInMulti = (name: string, rest: readonly string[]): boolean =>
  WHOLE_CLUSTER.has(name) || (name === 'HELLO' && rest.length > 0);

/** In a transaction an iteration or a choice could not be followed to its end either. */
function withoutRefusedInMulti(steps: readonly Step[]): Step[] {
  const open = [false, false];
  return steps.filter((step) => {
    if (!('command' in step)) return !open[step.on];
    const [name = '', ...rest] = step.command;
    if (rest.length === 0) {
      if (name === 'MULTI') open[step.on] = true;
      if (name === 'EXEC' || name === 'DISCARD' || name === 'RESET') open[step.on] = false;
    }
    return !open[step.on] || !isRefusedInMulti(name, rest);
  });
}

/** Redis counts what has expired until somebody comes by, so all keys are visited before they are counted. */
const withVisitBeforeCount = (steps: readonly Step[]): Step[] =>
  steps.flatMap((step) =>
    'command' in step && step.command[0] === 'DBSIZE' ? [{ on: step.on, scan: ['SCAN'], options: [] }, step] : [step],
  );

/** Redis draws as often as a negative count says, until its memory is used up; kvorum refuses. */
const MOST_DRAWS = 10_000;
const withoutEndlessDraws = (steps: readonly Step[]): Step[] =>
  steps.filter(
    (step) =>
      !('command' in step) ||
      !/^(HRANDFIELD|SRANDMEMBER|ZRANDMEMBER)$/i.test(step.command[0]!) ||
      !(Number(step.command[2]) < -MOST_DRAWS),
  );

/** What a group says cannot be compared is left out wherever it comes up. */
const withoutIncomparable = (steps: readonly Step[]): Step[] =>
  steps.filter(
    (step) => !('command' in step) || GROUPS.every(({ isComparable }) => isComparable?.(step.command) ?? true),
  );

/** Of several elements that a damaged sketch is given, Redis keeps those before the one that it fails at, kvorum none. */
const withoutCrowdsForDamaged = (steps: readonly Step[]): Step[] =>
  steps.filter(
    (step) =>
      !('command' in step) || step.command[0] !== 'PFADD' || step.command[1] !== 'damaged' || step.command.length < 4,
  );

/** Sequences of steps, most of them of one group. */
export const sequencesOf = (group: SequenceGroup, maxSteps: number): fc.Arbitrary<Step[]> =>
  fc
    .array(stepsOf(group), { minLength: 1, maxLength: maxSteps, size: 'max' })
    .map(withoutEndlessDraws)
    .map(withoutCrowdsForDamaged)
    .map(withoutIncomparable)
    .map(withoutRefusedInMulti)
    .map(withVisitBeforeCount);
