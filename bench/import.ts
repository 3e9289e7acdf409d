/**
 * `npm run bench:import`: how fast a file of redis-server comes into a cluster of three processes. Three files, each by itself into an empty cluster: small
 * keys, keys of all types with a few elements, and large collections. Keys and elements a second of `kvorum import`, and whether its comparison finds anything.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { Redis } from 'ioredis';
import { parseCount } from '../cmd/cli/option-values.ts';
import { formatCount, formatTable } from '../cmd/cli/table.ts';
import { portOf, startLocalNodes } from './local-nodes.ts';
import { waitForRedis } from './peers/redis.ts';
import { freePortRange, Scratch } from './scratch.ts';

const KVORUM = fileURLToPath(new URL('../cmd/kvorum.ts', import.meta.url));
const NODES = 3;
const IMPORT_TIMEOUT_MS = 30 * 60_000;
/** A script of redis-server fills so much at a time. */
const STEP = 10_000;
const MIXED_ELEMENTS = 10;
const MIXED_TYPES = 5;

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

interface Flags {
  readonly keys: number;
  readonly elements: number;
  readonly only?: string;
  readonly profile?: string;
}

function partsOf({ keys, elements, only }: Flags): Part[] {
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

/** @returns the path of a file with all of a part */
async function saved(scratch: Scratch, { script, runs }: Part): Promise<string> {
  const folder = scratch.newFolder('source');
  mkdirSync(folder);
  const port = await freePortRange(1);
  const options = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--dir',
    folder,
    '--save',
    '',
    '--busy-reply-threshold',
    '0',
  ];
  const server = scratch.serve('redis-server', options);
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
  return join(folder, 'dump.rdb');
}

async function imported(
  scratch: Scratch,
  part: Part,
  file: string,
  profile: string | undefined,
): Promise<ImportFigures> {
  const nodes = await startLocalNodes(scratch, { nodes: NODES, groups: 0 });
  try {
    const targets = (await nodes.members()).map(({ addresses }) => `127.0.0.1:${portOf(addresses.redis)}`).join(',');
    const node =
      profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', join(profile, part.name.replace(' ', '-'))];
    const args = [...node, KVORUM, 'import', file, '--to', targets, '--verify', '--json'];
    return JSON.parse(await scratch.run(process.execPath, args, IMPORT_TIMEOUT_MS)) as ImportFigures;
  } finally {
    await nodes.stop();
  }
}

async function main(flags: Flags): Promise<void> {
  const scratch = new Scratch();
  const rows: string[][] = [['file', 'keys', 'elements', 'seconds', 'keys/s', 'elements/s', 'different']];
  try {
    for (const part of partsOf(flags)) {
      const file = await saved(scratch, part);
      const { written, refused, seconds, differences } = await imported(scratch, part, file, flags.profile);
      const different = Object.values(differences).reduce((sum, count) => sum + count, refused);
      rows.push([
        ...[part.name, formatCount(written), formatCount(part.elements), seconds.toFixed(2)],
        ...[formatCount(written / seconds), formatCount(part.elements / seconds), formatCount(different)],
      ]);
      console.error(rows.at(-1)!.join('  '));
      if (written !== part.keys || different > 0) process.exitCode = 1;
    }
    console.log(formatTable(rows, ['left', 'right', 'right', 'right', 'right', 'right', 'right']));
  } finally {
    await scratch.clean();
  }
}

const program = new Command('bench:import')
  .description('Measures how fast a file of Redis comes into a cluster of three processes.')
  .option(
    '--keys <count>',
    'small keys (default: 200000); a quarter as many mixed ones',
    parseCount(1, 100_000_000),
    200_000,
  )
  .option(
    '--elements <count>',
    'elements of large collections (default: 500000)',
    parseCount(1, 1_000_000_000),
    500_000,
  )
  .option('--only <name>', 'small, mixed or large')
  .option('--profile <folder>', 'where a processor profile of the import goes');
program.action((flags: Flags) => main(flags));
await program.parseAsync();
