/** From samples of `bench:types` to rows, verdicts and a table. Pure: what was measured goes in, text and plain data come out. */
import { type Align, formatCount, formatMs, formatTable } from '../../cmd/cli/table.ts';
import { type CpuLine, formatCpu } from '../role-cpu.ts';
import { areQuiet, median, rangeOf, ratiosOf, ratioText, verdictOf } from '../spread.ts';
import { TYPE_MEASURES, type TypeMeasure } from './measures.ts';

export type TypesSystem = 'kvorum' | 'redis';

/** Commands a second, one value a round. */
export type RateSamples = { readonly [measure: string]: { readonly [S in TypesSystem]?: readonly number[] } };

/** A command over a large collection and over one of one element, ms each; one value a call. */
export interface WholeKeySample {
  readonly command: string;
  readonly system: TypesSystem;
  readonly largeMs: readonly number[];
  readonly smallMs: readonly number[];
}

/** A read of a whole hash, and what another connection to the same node saw meanwhile. */
export interface LongReadSample {
  readonly system: TypesSystem;
  readonly fields: number;
  readonly readMs: number;
  readonly slowestPingMs: number;
}

/** How long a client of one node waits for what one of another node pushes, and how long a SET takes there, ms each; one value a call. */
export interface WakeUpSample {
  readonly system: TypesSystem;
  readonly setMs: readonly number[];
  readonly wakeMs: readonly number[];
}

/** Messages of 100 bytes to one subscriber on each of three nodes. */
export interface PublishSample {
  readonly system: TypesSystem;
  readonly published: number;
  /** The least that a subscriber has got, and a second. */
  readonly received: number;
  readonly perSecond: number;
}

/** All that was measured. */
export interface TypesResult {
  readonly rows: readonly TypesRow[];
  readonly wholeKeys: readonly WholeKeySample[];
  readonly longReads: readonly LongReadSample[];
  readonly wakeUps: readonly WakeUpSample[];
  readonly publishing: readonly PublishSample[];
  /** Nobody else used the machine. */
  readonly isQuiet: boolean;
  readonly cpu: readonly CpuLine[];
}

export interface TypesRow {
  readonly measure: string;
  readonly title: string;
  readonly median: { readonly [S in TypesSystem]?: number };
  readonly samples: { readonly [S in TypesSystem]?: readonly number[] };
  /** kvorum's median over that of Redis. */
  readonly ratio: number | undefined;
  /** That ratio over the ratio of SET, or of GET for what only reads. */
  readonly relative: number | undefined;
  readonly bar: number | undefined;
  readonly goal: number | undefined;
  readonly passed: boolean | undefined;
  /** The rounds that it needs are close enough together to say so. */
  readonly isQuiet: boolean;
}

const LONGEST_PING_MS = 300;
/** What a command over a large collection may take more than over a small one: the machine's noise. */
const WHOLE_KEY_FACTOR = 3;

/** Of the median of SET. */
const WAKE_UP_FACTOR = 2;
const MESSAGES_A_SECOND = 50_000;

const medianOf = (values: readonly number[] | undefined): number | undefined =>
  values === undefined || values.length === 0 ? undefined : median(values);

/** Rows of what was measured, in the order of the table. @param isQuiet nobody else used the machine */
export function typesRows(samples: RateSamples, isQuiet: boolean): TypesRow[] {
  const ratioOf = (name: string): number | undefined => {
    const [ours, theirs] = [medianOf(samples[name]?.kvorum), medianOf(samples[name]?.redis)];
    return ours === undefined || theirs === undefined ? undefined : ours / theirs;
  };
  const rowOf = ({ name, title, bar, goal, reference }: TypeMeasure): TypesRow => {
    const ratio = ratioOf(name);
    const base = ratioOf(reference);
    const relative = ratio === undefined || base === undefined ? undefined : ratio / base;
    const bySystem = samples[name] ?? {};
    const plain = samples[reference] ?? {};
    const areAlike = areQuiet(bySystem.kvorum, bySystem.redis, plain.kvorum, plain.redis);
    const passed = bar === undefined || relative === undefined ? undefined : relative >= bar;
    const medians = { kvorum: medianOf(bySystem.kvorum), redis: medianOf(bySystem.redis) };
    return {
      measure: name,
      title,
      median: Object.fromEntries(Object.entries(medians).filter(([, value]) => value !== undefined)),
      samples: bySystem,
      ratio,
      relative,
      bar,
      goal,
      passed,
      isQuiet: isQuiet && areAlike,
    };
  };
  return TYPE_MEASURES.filter(({ name }) => samples[name] !== undefined).map(rowOf);
}

/** Whether a command over a large collection takes about as long as over a small one. */
export const isAsSmall = ({ largeMs, smallMs }: WholeKeySample): boolean =>
  median(largeMs) <= WHOLE_KEY_FACTOR * median(smallMs) + 1;

export const answersMeanwhile = ({ slowestPingMs }: LongReadSample): boolean => slowestPingMs < LONGEST_PING_MS;

/** Whether who waits on one node has what is pushed on another within the time of two SETs. */
export const wakesInTime = ({ setMs, wakeMs }: WakeUpSample): boolean =>
  median(wakeMs) <= WAKE_UP_FACTOR * median(setMs);

/** Whether all messages reach all nodes, and quickly. */
export const arrivesInTime = ({ published, received, perSecond }: PublishSample): boolean =>
  received >= published && perSecond >= MESSAGES_A_SECOND;

const RIGHT_OF_TITLE: readonly Align[] = ['left', 'right', 'right', 'right', 'right', 'left', 'left'];

/** The tables. */
export function formatTypes(result: TypesResult): string {
  const { rows, wholeKeys, longReads, wakeUps, publishing, cpu, isQuiet } = result;
  const rate = (values: readonly number[] | undefined): string =>
    values === undefined || values.length === 0 ? '-' : `${rangeOf(values, formatCount)}/s`;
  const factor = (value: number | undefined): string => (value === undefined ? '-' : `${value.toFixed(2)}x`);
  const rates = rows.map(({ title, samples, relative, bar, goal, passed, isQuiet: isRowQuiet }) => [
    title,
    rate(samples.kvorum),
    rate(samples.redis),
    ratioText(ratiosOf(samples.kvorum, samples.redis)),
    factor(relative),
    bar === undefined ? '-' : `>= ${bar}x (goal ${goal}x)`,
    verdictOf(passed, isRowQuiet),
  ]);
  const whole = wholeKeys.map((sample) => [
    sample.command,
    sample.system,
    formatMs(median(sample.largeMs)),
    formatMs(median(sample.smallMs)),
    sample.system === 'redis' ? '-' : verdictOf(isAsSmall(sample), isQuiet),
  ]);
  const long = longReads.map((sample) => [
    `HGETALL of ${formatCount(sample.fields)}`,
    sample.system,
    formatMs(sample.readMs),
    formatMs(sample.slowestPingMs),
    sample.system === 'redis' ? '-' : verdictOf(answersMeanwhile(sample), isQuiet),
  ]);
  const woken = wakeUps.map((sample) => [
    'BLPOP on another node',
    sample.system,
    formatMs(median(sample.wakeMs)),
    formatMs(median(sample.setMs)),
    sample.system === 'redis' ? '-' : verdictOf(wakesInTime(sample), isQuiet),
  ]);
  const messages = publishing.map((sample) => [
    'PUBLISH to three nodes',
    sample.system,
    `${formatCount(Math.round(sample.perSecond))}/s`,
    formatCount(sample.published - Math.min(sample.received, sample.published)),
    sample.system === 'redis' ? '-' : verdictOf(arrivesInTime(sample), isQuiet),
  ]);
  return [
    formatTable(
      [['50 clients', 'kvorum', 'redis', 'ratio', 'to SET, GET', 'bar', 'verdict'], ...rates],
      RIGHT_OF_TITLE,
    ),
    formatCpu(cpu),
    formatTable(
      [['median', 'system', 'large', 'one element', 'verdict'], ...whole],
      ['left', 'left', 'right', 'right'],
    ),
    formatTable([['median', 'system', 'woken after', 'SET', 'verdict'], ...woken], ['left', 'left', 'right', 'right']),
    formatTable(
      [['50 clients, 16 under way', 'system', 'messages', 'missing', 'verdict'], ...messages],
      ['left', 'left', 'right', 'right'],
    ),
    formatTable(
      [['one read', 'system', 'took', 'slowest PING', 'verdict'], ...long],
      ['left', 'left', 'right', 'right'],
    ),
  ].join('\n\n');
}
