/**
 * `npm run bench:import`: how fast a file of redis-server comes into a cluster of three processes. Three files, each by itself into an empty cluster: small
 * keys, keys of all types with a few elements, and large collections. Elements a second of `kvorum import`, what one costs the nodes, and whether its
 * comparison finds anything, beside a redis-server that reads the same file.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { formatCount, formatTable } from '../cmd/cli/table.ts';
import { Ledger } from './ledger.ts';
import { portOf, startLocalNodes } from './local-nodes.ts';
import { type BenchmarkOptions, benchmark, count, oneOf } from './options.ts';
import { waitForRedis } from './peers/redis.ts';
import { conclude } from './results.ts';
import { areInstalled, freePortRange, Scratch } from './scratch.ts';
import type { Verdict } from './spread.ts';

const KVORUM = fileURLToPath(new URL('../cmd/kvorum.ts', import.meta.url));
const NODES = 3;
const IMPORT_TIMEOUT_MS = 30 * 60_000;
/** A script of redis-server fills so much at a time. */
const STEP = 10_000;
const MIXED_ELEMENTS = 10;
const MIXED_TYPES = 5;
const PARTS = ['small', 'mixed', 'large'] as const;
/** What redis-server calls it. */
const FILE = 'dump.rdb';

const SMALL = `for at = ARGV[1], ARGV[2] do redis.call('SET', 'small:' .. at, string.rep('v', 20 + at % 80)) end`;
const MIXED = `for at = ARGV[1], ARGV[2] do
  local key = 'mixed:' .. at
  local kind = at % 5
  for nth = 1, 10 do
    if kind == 0 then redis.call('HSET', key, 'field' .. nth, 'value ' .. at .. ' ' .. nth)
    elseif kind == 1 then redis.call('RPUSH', key, 'value ' .. at .. ' ' .. nth)
    elseif kind == 2 then redis.call('SADD', key, 'value ' .. at .. ' ' .. nth)
    elseif kind == 3 then redis.call('ZADD', key, nth, 'value ' .. at .. ' ' .. nth)
    else redis.call('XADD', key, nth .. '-1', 'field', 'value ' .. at .. ' ' .. nth) end
  end
  if at % 3 == 0 then redis.call('EXPIRE', key, 100000) end
end`;
const LARGE = `for at = ARGV[1], ARGV[2] do
  local value = 'value ' .. at
  redis.call('HSET', 'large:hash', 'field:' .. at, value)
  redis.call('RPUSH', 'large:list', value)
  redis.call('SADD', 'large:set', value)
  redis.call('ZADD', 'large:zset', at, value)
  redis.call('XADD', 'large:stream', at .. '-1', 'field', value)
end`;

/** A file, and what is in it. */
interface Part {
  readonly name: string;
  readonly script: string;
  /** For how many numbers the script runs. */
  readonly runs: number;
  readonly keys: number;
  readonly elements: number;
}

/** What `kvorum import --json` prints. */
interface ImportFigures {
  readonly written: number;
  readonly refused: number;
  readonly seconds: number;
  readonly compared: number;
  readonly differences: Readonly<Record<string, number>>;
}

interface Options extends BenchmarkOptions {
  readonly keys: number;
  readonly elements: number;
  readonly only?: string;
  readonly profile?: string;
}

function partsOf({ keys, elements, only }: Options): Part[] {
  const runs = Math.ceil(elements / MIXED_TYPES);
  const parts: Part[] = [
    { name: 'small keys', script: SMALL, runs: keys, keys, elements: keys },
    { name: 'mixed keys', script: MIXED, runs: Math.ceil(keys / 4), keys: Math.ceil(keys / 4), elements: 0 },
    { name: 'large collections', script: LARGE, runs, keys: MIXED_TYPES, elements: runs * MIXED_TYPES },
  ];
  return parts
    .map((part) => (part.elements === 0 ? { ...part, elements: part.keys * MIXED_ELEMENTS } : part))
    .filter(({ name }) => only === undefined || name.startsWith(only));
}

/** Starts redis-server with the file of a folder, if there is one. @returns its port and what ends it */
async function startRedis(scratch: Scratch, folder: string) {
  const port = await freePortRange(1);
  const address = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder];
  const server = scratch.serve('redis-server', [...address, '--save', '', '--busy-reply-threshold', '0']);
  return { port, server };
}

/** @returns the folder of a file with all of a part */
async function saved(scratch: Scratch, { script, runs }: Part): Promise<string> {
  const folder = scratch.newFolder('source');
  mkdirSync(folder);
  const { port, server } = await startRedis(scratch, folder);
  await waitForRedis(port);
  const client = new Redis(port, '127.0.0.1');
  try {
    await client.flushall();
    for (let from = 1; from <= runs; from += STEP) await client.eval(script, 0, from, Math.min(runs, from + STEP - 1));
    await client.save();
  } finally {
    client.disconnect();
    await server.kill();
  }
  return folder;
}

/** redis-server starts and has read the file. */
async function readByRedis(scratch: Scratch, part: Part, folder: string, ledger: Ledger): Promise<void> {
  const startMs = performance.now();
  const { port, server } = await startRedis(scratch, folder);
  try {
    await ledger.measure(part.name, 'redis', [{ role: 'server', pids: [server.pid] }], async () => {
      await waitForRedis(port);
      return { perSecond: (part.elements * 1_000) / (performance.now() - startMs), commands: part.elements };
    });
  } finally {
    await server.kill();
  }
}

async function imported(
  scratch: Scratch,
  part: Part,
  folder: string,
  ledger: Ledger,
  profile?: string,
): Promise<ImportFigures> {
  const nodes = await startLocalNodes(scratch, { nodes: NODES, groups: 0 });
  try {
    const members = await nodes.members();
    const targets = members.map(({ addresses }) => `127.0.0.1:${portOf(addresses.redis)}`).join(',');
    const node =
      profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', join(profile, part.name.replace(' ', '-'))];
    const args = [...node, KVORUM, 'import', join(folder, FILE), '--to', targets, '--verify', '--json'];
    const processes = [{ role: 'each node', pids: members.map(({ pid }) => pid) }];
    return await ledger.measure(part.name, 'kvorum', processes, async () => {
      const figures = JSON.parse(await scratch.run(process.execPath, args, IMPORT_TIMEOUT_MS)) as ImportFigures;
      return { ...figures, perSecond: part.elements / figures.seconds, commands: part.elements };
    });
  } finally {
    await nodes.stop();
  }
}

async function main(options: Options): Promise<number> {
  if (!(await areInstalled('redis-server'))) return 1;
  const { rounds, folder, profile } = options;
  const ledger = new Ledger();
  const scratch = new Scratch(folder);
  const found = new Map<string, string>();
  const verdicts: Verdict[] = [];
  try {
    for (const part of partsOf(options)) {
      const source = await saved(scratch, part);
      for (let round = 0; round < rounds; round++) {
        const { written, refused, differences } = await imported(scratch, part, source, ledger, profile);
        await readByRedis(scratch, part, source, ledger);
        const different = Object.values(differences).reduce((sum, each) => sum + each, refused);
        const isWhole = written === part.keys && different === 0;
        found.set(part.name, formatCount(written));
        const text = `${part.name}, round ${round + 1}: ${formatCount(written)} of ${formatCount(part.keys)} keys, ${formatCount(different)} different`;
        verdicts.push({ text, passed: isWhole, isQuiet: true });
      }
    }
  } finally {
    await scratch.clean();
  }
  return conclude(
    {
      name: 'import',
      facts: { options, lines: ledger.facts() },
      tables: [
        ledger.formatRates(['kvorum', 'redis'], ' elements/s'),
        formatTable([['file', 'keys'], ...found], ['left', 'right']),
        ledger.formatCosts('us of CPU an element'),
      ],
      verdicts,
      others: ledger.others,
    },
    options,
  );
}

const program = benchmark({
  script: 'bench:import',
  says: 'Measures how fast a file of Redis comes into a cluster of three processes. The comparison that follows an import is in its processor time, not in its rate.',
  peers: 'one redis-server that starts with the same file: it keeps it in memory, writes nothing, and has no replicas.',
  rounds: 3,
})
  .option('--keys <count>', 'small keys; a quarter as many mixed ones', count(1e8), 200_000)
  .option('--elements <count>', 'elements of large collections', count(1e9), 500_000)
  .option('--only <name>', PARTS.join(', '), oneOf(PARTS))
  .option('--profile <folder>', 'where a processor profile of the import goes');
program.parse();
process.exit(await main(program.opts<Options>()));
