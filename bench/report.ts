/** From samples to verdicts to one table. Pure: what was measured goes in, text and plain data come out. */
import { type Align, formatCount, formatMs, formatTable } from '../cmd/cli/table.ts';
import { areQuiet, median, rangeOf, ratiosOf, ratioText, verdictOf } from './spread.ts';

export type System = 'kvorum' | 'redis' | 'etcd';

/** What is measured; the order is that of the table. */
export const MEASURES = {
  set: { title: 'SET, 50 clients', unit: 'perSecond' },
  setPipelined: { title: 'SET, 50 clients, -P 16', unit: 'perSecond' },
  get: { title: 'GET, 50 clients', unit: 'perSecond' },
  incrHotKey: { title: 'INCR of one key, 50 clients', unit: 'perSecond' },
  setSpread: { title: 'SET, 50 clients, 100,000 keys', unit: 'perSecond' },
  setSpreadPipelined: { title: 'SET, 50 clients, 100,000 keys, -P 16', unit: 'perSecond' },
  getSpread: { title: 'GET, 50 clients, 100,000 keys', unit: 'perSecond' },
  setThroughFollower: { title: 'SET, 50 clients, through a follower', unit: 'perSecond' },
  sequentialP50: { title: 'SET, 1 client, p50', unit: 'ms' },
  failover: { title: 'failover after kill -9 of the leader', unit: 'ms' },
} as const satisfies Record<string, { title: string; unit: 'perSecond' | 'ms' }>;

export type Measure = keyof typeof MEASURES;

/** One value a round. */
export type Samples = { readonly [M in Measure]?: { readonly [S in System]?: readonly number[] } };

export interface BarResult {
  readonly text: string;
  readonly passed: boolean;
  /** The rounds that it needs are close enough together to say so, and nobody else used the machine. */
  readonly isQuiet: boolean;
}

export interface ReportRow {
  readonly measure: Measure;
  readonly title: string;
  readonly unit: 'perSecond' | 'ms';
  readonly median: { readonly [S in System]?: number };
  readonly samples: { readonly [S in System]?: readonly number[] };
  /** kvorum's figure over the peer's, round by round. */
  readonly ratios: { readonly redis: readonly number[]; readonly etcd: readonly number[] };
  /** Undefined when there is none, or when a peer that it needs was not measured. */
  readonly bar: BarResult | undefined;
}

interface Medians {
  readonly kvorum: number;
  readonly redis: number | undefined;
  readonly etcd: number | undefined;
  /** kvorum's plain SET, which INCR is held against. */
  readonly kvorumSet: number | undefined;
}

interface Bar {
  readonly text: string;
  /** The peer whose figures it needs. */
  readonly peer?: 'redis' | 'etcd';
  /** Undefined when what it needs was not measured. */
  judge(medians: Medians): boolean | undefined;
}

const FASTEST_FAILOVER_MS = 2000;
const PIPELINED_FLOOR = 100_000;

const atLeast = (value: number, reference: number | undefined, factor: number): boolean | undefined =>
  reference === undefined ? undefined : value >= factor * reference;

const BARS: { readonly [M in Measure]?: Bar } = {
  set: { text: '>= 4x etcd', peer: 'etcd', judge: ({ kvorum, etcd }) => atLeast(kvorum, etcd, 4) },
  setPipelined: {
    text: '>= 100,000/s or >= 0.2x redis',
    judge: ({ kvorum, redis }) => kvorum >= PIPELINED_FLOOR || atLeast(kvorum, redis, 0.2),
  },
  get: { text: '>= 0.5x redis', peer: 'redis', judge: ({ kvorum, redis }) => atLeast(kvorum, redis, 0.5) },
  incrHotKey: { text: '>= 0.8x its SET', judge: ({ kvorum, kvorumSet }) => atLeast(kvorum, kvorumSet, 0.8) },
  sequentialP50: {
    text: '<= etcd',
    peer: 'etcd',
    judge: ({ kvorum, etcd }) => (etcd === undefined ? undefined : kvorum <= etcd),
  },
  failover: { text: '<= 2 s', judge: ({ kvorum }) => kvorum <= FASTEST_FAILOVER_MS },
};

const medianOrNone = (values: readonly number[] | undefined): number | undefined =>
  values === undefined || values.length === 0 ? undefined : median(values);

/** Rows of the measures that kvorum was measured by. @param isQuiet nobody else used the machine meanwhile */
export function buildReport(samples: Samples, isQuiet = true): ReportRow[] {
  const kvorumSet = medianOrNone(samples.set?.kvorum);
  const rows: ReportRow[] = [];
  for (const measure of Object.keys(MEASURES) as Measure[]) {
    const bySystem = samples[measure] ?? {};
    const kvorum = medianOrNone(bySystem.kvorum);
    if (kvorum === undefined) continue;
    const redis = medianOrNone(bySystem.redis);
    const etcd = medianOrNone(bySystem.etcd);
    const bar = BARS[measure];
    const passed = bar?.judge({ kvorum, redis, etcd, kvorumSet });
    const areAlike = areQuiet(bySystem.kvorum, bar?.peer && bySystem[bar.peer]);
    rows.push({
      measure,
      ...MEASURES[measure],
      median: { kvorum, redis, etcd },
      samples: bySystem,
      ratios: { redis: ratiosOf(bySystem.kvorum, bySystem.redis), etcd: ratiosOf(bySystem.kvorum, bySystem.etcd) },
      bar:
        bar === undefined || passed === undefined
          ? undefined
          : { text: bar.text, passed, isQuiet: isQuiet && areAlike },
    });
  }
  return rows;
}

const ALIGNS: readonly Align[] = ['left', 'right', 'right', 'right', 'right', 'right', 'left', 'left'];

/** The one table. */
export function formatReport(rows: readonly ReportRow[]): string {
  const value = (row: ReportRow, system: System): string => {
    const unit = row.unit === 'perSecond' ? '/s' : ' ms';
    const shown = (figure: number): string =>
      row.unit === 'perSecond' ? formatCount(figure) : formatMs(figure).slice(0, -3);
    const text = rangeOf(row.samples[system] ?? [], shown);
    return text === '-' ? text : `${text}${unit}`;
  };
  const heading = ['measure', 'kvorum', 'redis', 'etcd', 'vs redis', 'vs etcd', 'bar', 'verdict'];
  const lines = rows.map((row) => [
    row.title,
    value(row, 'kvorum'),
    value(row, 'redis'),
    value(row, 'etcd'),
    ratioText(row.ratios.redis),
    ratioText(row.ratios.etcd),
    row.bar?.text ?? '-',
    verdictOf(row.bar?.passed, row.bar?.isQuiet),
  ]);
  return formatTable([heading, ...lines], ALIGNS);
}
