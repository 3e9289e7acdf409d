/**
 * Does a write-ahead log of our own pay? The same writes through it and through LevelDB with a synced batch per write, in
 * turns, medians of the rounds. Run: `node bench/log-store.ts [--json]`. Compare within a run only.
 */
import { dirname, join } from 'node:path';
import { formatTable } from '../cmd/cli/table.ts';
import { groupId, SystemDisk, SystemRandom } from '../src/platform/index.ts';
import type { LogStore } from '../src/raftengine/contract/types.ts';
import { NodeRecord } from '../src/raftengine/founding/node-record.ts';
import { WalLogStore } from '../src/raftengine/log/wal-log-store.ts';
import { LevelLogStore } from './level-log-store.ts';
import { Scratch } from './scratch.ts';
import { median } from './spread.ts';

interface Load {
  readonly title: string;
  readonly payloadBytes: number;
  readonly writes: number;
  readonly warmUpWrites: number;
  /** Writes under way at a time. */
  readonly inFlight: number;
}

interface Figures {
  readonly writesPerSecond: number;
  readonly p50Us: number;
  /** Of the whole process, with its I/O threads. */
  readonly cpuUs: number;
  /** Time that the call itself takes on the event loop, with the start of the write. */
  readonly callUs: number;
}

const LOADS: readonly Load[] = [
  { title: '1 x 100 B', payloadBytes: 100, writes: 2000, warmUpWrites: 200, inFlight: 1 },
  { title: '50 x 100 B in one payload', payloadBytes: 5000, writes: 2000, warmUpWrites: 200, inFlight: 1 },
  { title: '50 x 100 B, 8 under way', payloadBytes: 5000, writes: 4000, warmUpWrites: 400, inFlight: 8 },
  { title: '1 MiB', payloadBytes: 1024 * 1024, writes: 100, warmUpWrites: 200, inFlight: 1 },
];
const ROUNDS = 5;
const GROUP = groupId(1);
/** Entries are truncated in steps of about this size, as an applied log is; a warm-up of several steps fills the spare files. */
const TRUNCATE_BYTES = 32 * 1024 * 1024;
const MAX_TRUNCATE_ENTRIES = 500;

async function measure(store: LogStore, load: Load, writes: number): Promise<Figures> {
  const payload = Buffer.alloc(load.payloadBytes, 'v');
  const latenciesUs: number[] = [];
  const log = store.group(GROUP);
  let callMs = 0;
  const truncateEntries = Math.min(MAX_TRUNCATE_ENTRIES, Math.ceil(TRUNCATE_BYTES / load.payloadBytes));
  let left = writes;
  const writer = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const index = log.lastIndex() + 1;
      const startMs = performance.now();
      const written = store.write([
        {
          groupId: GROUP,
          hardState: { term: 1, vote: 0, commitIndex: index - 1 },
          entries: [{ term: 1, index, kind: 0, payload }],
          resetTo: undefined,
        },
      ]);
      callMs += performance.now() - startMs;
      await written;
      latenciesUs.push((performance.now() - startMs) * 1000);
      if (index % truncateEntries === 0) store.truncatePrefix(GROUP, index - 1, 1);
    }
  };
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  await Promise.all(Array.from({ length: load.inFlight }, writer));
  const seconds = (performance.now() - startMs) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  return {
    writesPerSecond: writes / seconds,
    p50Us: median(latenciesUs),
    cpuUs: (user + system) / writes,
    callUs: (callMs * 1000) / writes,
  };
}

const STORES = {
  wal: async (folder: string): Promise<LogStore> => {
    const disk = new SystemDisk();
    const random = new SystemRandom();
    const record = await NodeRecord.open({
      disk,
      folder: dirname(folder),
      incarnation: random.bytes(16).toString('hex'),
    });
    return WalLogStore.open({ disk, folder, random, record });
  },
  level: (folder: string): Promise<LogStore> => LevelLogStore.open(folder),
};
type StoreName = keyof typeof STORES;

const scratch = new Scratch(process.env.KVORUM_BENCH_FOLDER);
try {
  const rows: { load: string; wal: Figures; level: Figures }[] = [];
  for (const load of LOADS) {
    const samples: { [Name in StoreName]: Figures[] } = { wal: [], level: [] };
    for (let round = 0; round < ROUNDS; round++) {
      for (const name of ['wal', 'level'] as const) {
        const store = await STORES[name](join(scratch.newFolder(name), 'log'));
        await measure(store, load, load.warmUpWrites);
        samples[name].push(await measure(store, load, load.writes));
        await store.close();
      }
    }
    const middle = (name: StoreName): Figures => {
      const of = (figure: keyof Figures): number => median(samples[name].map((sample) => sample[figure]));
      return { writesPerSecond: of('writesPerSecond'), p50Us: of('p50Us'), cpuUs: of('cpuUs'), callUs: of('callUs') };
    };
    rows.push({ load: load.title, wal: middle('wal'), level: middle('level') });
  }
  if (process.argv.includes('--json')) {
    console.log(JSON.stringify(rows, undefined, 2));
  } else {
    const whole = (value: number): string => Math.round(value).toLocaleString('en-US');
    const figures = (row: Figures): string[] => [
      whole(row.writesPerSecond),
      whole(row.p50Us),
      whole(row.cpuUs),
      row.callUs.toFixed(1),
    ];
    const times = (ratio: number): string => `${ratio.toFixed(2)}x`;
    const lines = rows.flatMap(({ load, wal, level }) => [
      [
        load,
        'write-ahead log',
        ...figures(wal),
        times(wal.writesPerSecond / level.writesPerSecond),
        times(level.p50Us / wal.p50Us),
      ],
      ['', 'LevelDB', ...figures(level), '', ''],
    ]);
    const heading = ['write', 'store', 'writes/s', 'p50 us', 'CPU us', 'call us', 'rate', 'speed at p50'];
    console.log(
      formatTable([heading, ...lines], ['left', 'left', 'right', 'right', 'right', 'right', 'right', 'right']),
    );
  }
} finally {
  await scratch.clean();
}
