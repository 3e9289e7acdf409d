/** From what `bench:large-data` has measured to its tables and verdicts. Pure. */
import { type Align, formatCount, formatTable } from '../../cmd/cli/table.ts';
import type { ProcessMemory } from '../node-use.ts';
import type { Verdict } from '../spread.ts';
import { meanTimes, sumOf, THREAD_KINDS, type ThreadTimes } from '../thread-cpu.ts';
import type { CompactionUse, DiskUse } from './watched-cluster.ts';

const MIB = 1024 ** 2;

/** A tenth of the keys was written. */
export interface LoadPart {
  readonly what: string;
  readonly perSecond: number;
  /** Of each node a command. */
  readonly cpu: readonly ThreadTimes[];
  /** Bytes that compactions of all nodes wrote for a byte of data on one. */
  readonly rewritten: number;
  readonly files: CompactionUse['files'];
}

/** What the nodes took at the end of a stage, and at most during it. */
export interface Stage {
  readonly name: string;
  readonly seconds: number;
  readonly disk: readonly DiskUse[];
  readonly peaks: readonly ProcessMemory[];
}

/** All keys counted. */
export interface KeyCount {
  readonly when: string;
  readonly dbsize: number;
  readonly dbsizeMs: number;
  readonly scanned: number;
  readonly scanSeconds: number;
  /** Of all nodes, a key. */
  readonly scanCpuUs: number;
}

export interface Restart {
  readonly how: string;
  /** Until a client has an answer, and until every group of the node has a leader and its replica is open. */
  readonly answersSeconds: number;
  readonly readySeconds: number;
  readonly cpuSeconds: number;
}

export interface LargeDataSamples {
  readonly keys: number;
  /** Names and values. */
  readonly logicalBytes: number;
  readonly memoryLimitBytes: number;
  readonly load: readonly LoadPart[];
  readonly overwrite: readonly LoadPart[];
  readonly stages: readonly Stage[];
  readonly counts: readonly KeyCount[];
  readonly restarts: readonly Restart[];
  /** The data's disk of all nodes before FLUSHALL and when its files had settled again, and how long that took; undefined when it was not asked for. */
  readonly flushed: { readonly beforeBytes: number; readonly leftBytes: number; readonly seconds: number } | undefined;
  /** Nobody else used the machine; what needs no clock is judged all the same. */
  readonly isQuiet: boolean;
}

/** The stage whose disk is judged. */
export const COLLECTED = 'collected';
export const BEFORE_OVERWRITING = 'before overwriting';

const RATE_BAR = 0.5;
const CPU_BAR = 2;
const DISK_BAR = 2.5;
/** Beside that, of each node: logs of write buffers, which are as large with little data. */
const DISK_FIXED_BYTES = 64 * MIB;
const MEMORY_BAR = 1.1;
const RESTART_BAR_SECONDS = 10;
const SCAN_BAR = 1.5;
const FLUSHED_BAR = 0.1;

/** Code is compiled as it runs: the start is the better one of the first two parts. */
const startOf = (load: readonly LoadPart[], of: (part: LoadPart) => number, better: typeof Math.max): number =>
  better(...load.slice(0, 2).map(of));

const cpuOf = ({ cpu }: LoadPart): number => cpu.reduce((sum, times) => sum + sumOf(times), 0);
const most = (values: readonly number[]): number => Math.max(0, ...values);

/** All bars. */
export function verdictsOf(samples: LargeDataSamples): Verdict[] {
  const { load, stages, counts, restarts, keys, logicalBytes, memoryLimitBytes, isQuiet, flushed } = samples;
  const nodes = stages[0]?.disk.length ?? 0;
  const verdicts: Verdict[] = [];
  const judge = (text: string, passed: boolean, needsClock = false): void => {
    verdicts.push({ text, passed, isQuiet: isQuiet || !needsClock });
  };
  const last = load.at(-1)!;
  const rate = last.perSecond / startOf(load, ({ perSecond }) => perSecond, Math.max);
  judge(`load: rate at the end ${rate.toFixed(2)}x the start's, >= ${RATE_BAR}x`, rate >= RATE_BAR, true);
  const cpu = cpuOf(last) / startOf(load, cpuOf, Math.min);
  judge(`load: CPU a command at the end ${cpu.toFixed(2)}x the start's, <= ${CPU_BAR}x`, cpu <= CPU_BAR);
  const collected = stages.find(({ name }) => name === COLLECTED);
  if (collected !== undefined) {
    const bytes = most(collected.disk.map(({ dataBytes }) => dataBytes));
    const text = `disk of a node without its log ${(bytes / logicalBytes).toFixed(2)}x logical, <= ${DISK_BAR}x and ${DISK_FIXED_BYTES / MIB} MiB`;
    judge(text, bytes <= DISK_BAR * logicalBytes + DISK_FIXED_BYTES);
  }
  for (const { how, answersSeconds, readySeconds } of restarts) {
    const text = `restart after ${how}: answers after ${answersSeconds.toFixed(1)} s, all groups after ${readySeconds.toFixed(1)} s`;
    judge(`${text}, <= ${RESTART_BAR_SECONDS} s`, Math.max(answersSeconds, readySeconds) <= RESTART_BAR_SECONDS, true);
  }
  for (const { when, dbsize, scanned } of counts) {
    const isExact = dbsize === keys && scanned === keys;
    judge(
      `${when}: DBSIZE ${formatCount(dbsize)}, SCAN finds ${formatCount(scanned)} of ${formatCount(keys)}`,
      isExact,
    );
  }
  const before = counts.find(({ when }) => when === BEFORE_OVERWRITING);
  for (const { when, scanCpuUs } of counts) {
    if (before === undefined || when === BEFORE_OVERWRITING) continue;
    const ratio = scanCpuUs / before.scanCpuUs;
    judge(`${when}: SCAN takes ${ratio.toFixed(2)}x the CPU of before, <= ${SCAN_BAR}x`, ratio <= SCAN_BAR);
  }
  for (const { name, peaks } of stages) {
    const share = most(peaks.map(({ ownBytes }) => ownBytes)) / memoryLimitBytes;
    judge(`memory, ${name}: at most ${share.toFixed(2)}x the limit, <= ${MEMORY_BAR}x`, share <= MEMORY_BAR);
  }
  if (flushed !== undefined) {
    const { beforeBytes, leftBytes, seconds } = flushed;
    const left = `${((100 * leftBytes) / beforeBytes).toFixed(0)} % of the data's disk is left after ${seconds.toFixed(0)} s`;
    const bound = FLUSHED_BAR * beforeBytes + nodes * DISK_FIXED_BYTES;
    judge(`FLUSHALL: ${left}, <= ${FLUSHED_BAR * 100} % and ${DISK_FIXED_BYTES / MIB} MiB a node`, leftBytes <= bound);
  }
  return verdicts;
}

const mib = (bytes: number): string => formatCount(bytes / MIB);
const RIGHT: readonly Align[] = ['left', ...Array.from({ length: 12 }, (): Align => 'right')];

function loadTable(title: string, parts: readonly LoadPart[]): string {
  const heading = [title, 'a second', 'CPU us', ...THREAD_KINDS, 'rewritten', 'files by level'];
  const rows = parts.map((part) => {
    const { what, perSecond, cpu, rewritten, files } = part;
    const mean = meanTimes(cpu);
    const levels = [...files].filter(([, count]) => count > 0).map(([level, count]) => `${level}:${count}`);
    const threads = THREAD_KINDS.map((kind) => mean[kind].toFixed(1));
    return [
      what,
      formatCount(perSecond),
      sumOf(mean).toFixed(1),
      ...threads,
      `${rewritten.toFixed(1)}x`,
      levels.join(' '),
    ];
  });
  return formatTable([heading, ...rows], [...RIGHT.slice(0, 9), 'left']);
}

/** Loads, stages, counts and restarts. */
export function formatLargeData(samples: LargeDataSamples): string {
  const { load, overwrite, stages, counts, restarts, logicalBytes, memoryLimitBytes } = samples;
  const list = (values: readonly number[]): string => values.map(mib).join(' ');
  const stageRows = stages.map(({ name, seconds, disk, peaks }) => [
    name,
    seconds.toFixed(0),
    list(disk.map(({ dataBytes }) => dataBytes)),
    `${(most(disk.map(({ dataBytes }) => dataBytes)) / logicalBytes).toFixed(2)}x`,
    list(disk.map(({ logBytes }) => logBytes)),
    list(peaks.map(({ ownBytes }) => ownBytes)),
    list(peaks.map(({ mappedBytes }) => mappedBytes)),
  ]);
  const stageHeading = [
    'stage (MiB, by node)',
    's',
    'data',
    'to logical',
    'log',
    'own memory, peak',
    'mapped files, peak',
  ];
  const countRows = counts.map(({ when, dbsize, dbsizeMs, scanned, scanSeconds, scanCpuUs }) => [
    when,
    formatCount(dbsize),
    `${dbsizeMs.toFixed(1)} ms`,
    formatCount(scanned),
    `${scanSeconds.toFixed(1)} s`,
    `${scanCpuUs.toFixed(1)} us`,
  ]);
  const restartRows = restarts.map(({ how, answersSeconds, readySeconds, cpuSeconds }) => [
    how,
    `${answersSeconds.toFixed(1)} s`,
    `${readySeconds.toFixed(1)} s`,
    `${cpuSeconds.toFixed(1)} s`,
  ]);
  return [
    `${mib(logicalBytes)} MiB of names and values; a node is to stay within ${mib(memoryLimitBytes)} MiB. CPU a command is the mean of a node's.`,
    loadTable('new keys', load),
    loadTable('every key once more', overwrite),
    formatTable([stageHeading, ...stageRows], RIGHT),
    formatTable([['keys', 'DBSIZE', 'took', 'SCAN', 'took', 'CPU a key'], ...countRows], RIGHT),
    formatTable([['restart after', 'answers', 'all groups', 'CPU'], ...restartRows], RIGHT),
  ].join('\n\n');
}
