/** MEMORY: what keys take, and what the process does. */
import { getHeapSpaceStatistics, getHeapStatistics } from 'node:v8';
import { defineCommands, type ScanContext, type ServerContext } from '../../command/index.ts';
import { DoubleReply, MapReply, OK, type Reply, VerbatimReply } from '../../protocol/index.ts';
import { declareWith } from '../declare.ts';
import { memoryUsage } from '../generic/index.ts';
import { helpCommand } from '../help.ts';
import { humanBytes } from './info-format.ts';
import { keyCounts } from './key-counts.ts';
import { memoryFigures } from './memory-figures.ts';

const GENERAL_DIGITS = 17;

const ratio = (value: number): DoubleReply => new DoubleReply(value, String(Number(value.toPrecision(GENERAL_DIGITS))));
const percent = (part: number, whole: number): DoubleReply => ratio(whole <= 0 ? 0 : (part / whole) * 100);

async function stats(ctx: ScanContext): Promise<Reply> {
  const counts = await keyCounts(ctx);
  const keys = counts.reduce((sum, count) => sum + count, 0);
  const { server } = ctx.session;
  const { usedBytes, peakBytes, startupBytes, heapBytes, heapReservedBytes, clientBytes } = memoryFigures(server);
  const grownBytes = Math.max(0, usedBytes - startupBytes);
  const overheadBytes = startupBytes + clientBytes;
  const datasetBytes = Math.max(0, usedBytes - overheadBytes);
  const databases = counts.flatMap((count, db): [string, Reply][] => {
    if (count === 0) return [];
    const tables = ['overhead.hashtable.main', 'overhead.hashtable.expires', 'overhead.hashtable.slot-to-keys'];
    return [[`db.${db}`, new MapReply(tables.map((name) => [name, 0]))]];
  });
  return new MapReply([
    ['peak.allocated', peakBytes],
    ['total.allocated', usedBytes],
    ['startup.allocated', startupBytes],
    ['replication.backlog', 0],
    ['clients.slaves', 0],
    ['clients.normal', clientBytes],
    ['cluster.links', 0],
    ['aof.buffer', 0],
    ['lua.caches', 0],
    ['functions.caches', 0],
    ...databases,
    ['overhead.total', overheadBytes],
    ['keys.count', keys],
    ['keys.bytes-per-key', keys === 0 ? 0 : Math.floor(grownBytes / keys)],
    ['dataset.bytes', datasetBytes],
    ['dataset.percentage', percent(datasetBytes, grownBytes)],
    ['peak.percentage', percent(usedBytes, peakBytes)],
    ['allocator.allocated', heapBytes],
    ['allocator.active', heapReservedBytes],
    ['allocator.resident', usedBytes],
    ['allocator-fragmentation.ratio', ratio(heapReservedBytes / heapBytes)],
    ['allocator-fragmentation.bytes', heapReservedBytes - heapBytes],
    ['allocator-rss.ratio', ratio(usedBytes / heapReservedBytes)],
    ['allocator-rss.bytes', usedBytes - heapReservedBytes],
    ['rss-overhead.ratio', ratio(1)],
    ['rss-overhead.bytes', 0],
    ['fragmentation', ratio(usedBytes / heapBytes)],
    ['fragmentation.bytes', usedBytes - heapBytes],
  ]);
}

/** Above this share of what the process is to stay within it is worth saying. */
const NEARLY_FULL = 0.9;
const MANY_BYTES_A_CLIENT = 1024 * 1024;

function doctor(server: ServerContext): Reply {
  const { usedBytes, heapBytes, clientBytes } = memoryFigures(server);
  const limitBytes = server.config.memoryBytes;
  const remarks: string[] = [];
  if (limitBytes > 0 && usedBytes > limitBytes * NEARLY_FULL) {
    remarks.push(
      `The process takes ${humanBytes(usedBytes)} of the ${humanBytes(limitBytes)} that it is to stay within. Give it more, or add nodes and move groups.`,
    );
  }
  if (clientBytes > server.connections.size * MANY_BYTES_A_CLIENT) {
    remarks.push(
      `Clients leave ${humanBytes(clientBytes)} unread or half sent: CLIENT LIST shows them under qbuf and omem. Read faster, or ask for less at a time.`,
    );
  }
  const figures = `The process takes ${humanBytes(usedBytes)}, ${humanBytes(heapBytes)} of it objects and buffers in use.`;
  const verdict = remarks.length === 0 ? ['Nothing stands out.'] : remarks.map((remark) => `- ${remark}`);
  return new VerbatimReply(
    `${[figures, 'Values lie on disk; memory has what was used last.', ...verdict].join('\n')}\n`,
  );
}

/** What the allocator of the process, V8, says of itself. */
function mallocStats(): Reply {
  const { malloced_memory, peak_malloced_memory, heap_size_limit, number_of_native_contexts } = getHeapStatistics();
  const spaces = getHeapSpaceStatistics().map(
    ({ space_name: name, space_size: size, space_used_size: used, space_available_size: available }) =>
      `${name.padEnd(32)}${String(size).padStart(14)}${String(used).padStart(14)}${String(available).padStart(14)}`,
  );
  const title = `${'space'.padEnd(32)}${['bytes', 'used', 'available'].map((word) => word.padStart(14)).join('')}`;
  const facts = [
    `limit of the heap ${heap_size_limit}`,
    `allocated outside of the heap ${malloced_memory}, at most ${peak_malloced_memory}`,
    `contexts ${number_of_native_contexts}`,
  ];
  return new VerbatimReply(`${[title, ...spaces, ...facts].join('\n')}\n`);
}

const sub = declareWith({ group: 'server', flags: [], complexity: 'O(1)' });

const HELP = [
  'DOCTOR',
  '    What is to be said about the memory of the process.',
  'MALLOC-STATS',
  '    What V8 says about its heap.',
  'PURGE',
  '    Accepted; memory is given back by itself.',
  'STATS',
  '    What the memory of the process is used for.',
  'USAGE <key> [SAMPLES <count>]',
  '    An estimate of the bytes that <key> and its value would take in Redis.',
  '    Of a collection so many elements are looked at: five, or <count>, and',
  '    all of them for 0.',
];

export const memoryCommands = defineCommands([
  {
    name: 'memory',
    arity: -2,
    flags: [],
    group: 'server',
    since: '4.0.0',
    summary: 'A container for commands that tell what memory is used for.',
    complexity: 'O(1)',
    subcommands: [
      sub({
        name: 'doctor',
        arity: 2,
        since: '4.0.0',
        summary: 'What is to be said about the memory of the process.',
        differences: 'Says it in its own words.',
        run: ({ server }) => doctor(server),
      }),
      helpCommand({ container: 'memory', group: 'server', since: '4.0.0', lines: HELP }),
      sub({
        name: 'malloc-stats',
        arity: 2,
        since: '4.0.0',
        summary: 'What the allocator says of itself.',
        differences: 'The allocator is V8.',
        run: mallocStats,
      }),
      sub({
        name: 'purge',
        arity: 2,
        since: '4.0.0',
        summary: 'Accepted; memory is given back by itself.',
        run: () => OK,
      }),
      sub({
        name: 'stats',
        arity: 2,
        since: '4.0.0',
        summary: 'What the memory of the process is used for.',
        differences:
          'Of this process; `allocator.*` is V8 with its buffers. Values lie on disk, and there are no tables of keys in memory.',
        handler: { kind: 'scan', run: stats },
      }),
      memoryUsage,
    ],
  },
]);
