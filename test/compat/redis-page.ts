/**
 * Makes docs/redis.md out of the command table, the list of Redis' own commands and what is said about those that are not there.
 * `npm run docs:redis` writes it; a test compares.
 */
import { readFileSync } from 'node:fs';
import type { CommandSpec } from '../../src/adapter/redis/command/index.ts';
import { ALL_COMMANDS } from '../../src/adapter/redis/commands/index.ts';
import { ABSENCES } from './redis-absent.ts';

export interface ListedCommand {
  /** `container|sub` for a subcommand. */
  readonly name: string;
  readonly since: string;
  readonly group: string;
}

const LIST = new URL('./redis-7.0-commands.txt', import.meta.url);

/** The commands and subcommands of Redis 7.0.15, as it lists them itself. */
export const redisCommands = (): ListedCommand[] =>
  readFileSync(LIST, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [name, since, group] = line.split(' ');
      return { name: name!, since: since!, group: group! };
    });

/** Commands and subcommands of kvorum by full name. */
export const ourCommands = (): ReadonlyMap<string, CommandSpec> =>
  new Map(
    ALL_COMMANDS.flatMap((spec): [string, CommandSpec][] => [
      [spec.name, spec],
      ...(spec.subcommands ?? []).map((sub): [string, CommandSpec] => [`${spec.name}|${sub.name}`, sub]),
    ]),
  );

type Status = 'yes' | 'not yet' | 'never';

interface Row extends ListedCommand {
  readonly status: Status;
  readonly remark: string;
}

const STATUS_BY_STANDING = { empty: 'not yet', refused: 'never' } as const;

function rowOf(listed: ListedCommand, spec: CommandSpec | undefined): Row {
  if (spec === undefined) {
    const absence = ABSENCES.find(({ names }) => names.includes(listed.name));
    return { ...listed, status: absence?.status ?? 'not yet', remark: absence?.why ?? '' };
  }
  const { standing, differences = '' } = spec;
  if (standing === undefined) return { ...listed, status: 'yes', remark: differences };
  const answer = standing === 'empty' ? 'Answers that there is none.' : 'Refused.';
  return { ...listed, status: STATUS_BY_STANDING[standing], remark: `${answer} ${differences}` };
}

/** In the order of the page. */
const GROUPS: readonly (readonly [string, string])[] = [
  ['string', 'Strings'],
  ['bitmap', 'Bitmaps'],
  ['hash', 'Hashes'],
  ['list', 'Lists'],
  ['set', 'Sets'],
  ['sorted-set', 'Sorted sets'],
  ['geo', 'Geo'],
  ['hyperloglog', 'HyperLogLog'],
  ['stream', 'Streams'],
  ['generic', 'Keys of any type'],
  ['transactions', 'Transactions'],
  ['scripting', 'Scripts and functions'],
  ['pubsub', 'Messages'],
  ['connection', 'Connections'],
  ['cluster', 'Cluster'],
  ['server', 'Server'],
];

function rows(): Row[] {
  const ours = ourCommands();
  const theirs = redisCommands();
  const known = new Set(theirs.map(({ name }) => name));
  const later = [...ours]
    .filter(([name]) => !known.has(name))
    .map(([name, { since, group }]) => ({ name, since: name.includes('kvorum') ? 'kvorum' : since, group }));
  return [...theirs, ...later].map((listed) => rowOf(listed, ours.get(listed.name)));
}

const byName = (a: ListedCommand, b: ListedCommand): number => (a.name < b.name ? -1 : 1);
const shownName = (name: string): string => name.toUpperCase().replace('|', ' ');

function tableOf(group: string, all: readonly Row[]): string[] {
  const own = all.filter((row) => row.group === group).sort(byName);
  return [
    '| command | since | there | differences from Redis |',
    '| --- | --- | --- | --- |',
    ...own.map(
      ({ name, since, status, remark }) =>
        `| ${shownName(name)} | ${since} | ${status} | ${remark.replaceAll('|', '\\|')} |`,
    ),
  ];
}

/** What is not the matter of one command. */
const EVERYWHERE = [
  '- Replies, error texts and the order in which mistakes are noticed are those of Redis 7.0.15, in RESP2 and in RESP3. Tests compare them byte by byte with a real redis-server.',
  '- A write is acknowledged when a quorum of replicas has it on disk. A command that may or may not have happened, because its leader died, is answered `UNKNOWN`; one that',
  '  could not begin in time is answered `CLUSTERDOWN` or `TRYAGAIN`, and nothing has happened. See [errors](errors.md).',
  '- Commands and transactions over keys of different slots work, whichever groups have them. `CROSSSLOT` is answered only where the client follows redirects and the keys',
  '  belong to several groups and slots. The 16 databases work in a cluster too; only database 0 has slots.',
  '- A command that writes and touches more than 65,536 rows that it does not name, or takes longer than 250 ms, is refused as a whole. One that only reads is refused beyond',
  '  2,000,000 rows or 512 MiB. Deleting, overwriting and expiring a collection of any size is one row.',
  '- RENAME, COPY, MOVE, RESTORE and commands that store a whole value take values of any number of rows. What a result is computed from may have',
  '  2,000,000 rows or 512 MiB. They answer `TRYAGAIN` when what they read has changed four times in a row. In MULTI they',
  '  have the limits of one command, and copy no value of more than 1,000 elements from group to group.',
  '- A key is gone in the very millisecond of its expiry. An expiry after the year 10889 is kept as that year. A value that has expired as it is written is a deletion.',
  '- KEYS, SCAN, DBSIZE, RANDOMKEY, FLUSHDB and FLUSHALL are refused in MULTI: they look at all keys, and a transaction locks the keys that it names.',
  '- HELLO with a version is refused in MULTI: the replies of an EXEC are encoded where their keys are led, all in one version.',
  '- Error texts that repeat bytes which are not UTF-8 repeat them replaced or encoded anew, and a zero byte does not end them.',
  '- A command that fails has no effects; a script that fails with an error of its own keeps what it has written, as in Redis.',
  '- Nothing is evicted: `maxmemory` is 0. Values live on disk; memory has what was used last.',
  '- `CONFIG SET` changes the node that the client is connected to. Thresholds of encodings (`hash-max-listpack-entries` and the like) count for what its clients write; every node',
  '  shows the encoding that came of it.',
];

/** The page, as it is to be on disk. */
export function redisPage(): string {
  const all = rows();
  const ofRedis = new Set(redisCommands().map(({ name }) => name));
  const count = (status: Status): number => all.filter((row) => ofRedis.has(row.name) && row.status === status).length;
  const later = all.filter(({ name }) => !ofRedis.has(name)).length;
  const lines = [
    '# Redis commands',
    '',
    "Generated by `npm run docs:redis` from the command table and from redis-server's own list. Every command and subcommand of Redis 7.0 is here, and those of later",
    'versions that kvorum has.',
    '',
    `Of ${ofRedis.size} commands and subcommands of Redis 7.0, ${count('yes')} are there, ${count('not yet')} are not there yet, and ${count('never')} are never going to be. `.trimEnd(),
    `${later} more are from later versions, or kvorum's own.`,
    '',
    '- **yes**: with all options, and as in Redis but for the differences that are named.',
    '- **not yet**: unknown, or only there for tools that ask any server for it: then it answers as a Redis does on which nothing of the kind was set up.',
    '- **never**: what it is about does not exist here. Unknown, or refused with a text that says why.',
    '',
    '## What differs everywhere',
    '',
    ...EVERYWHERE,
    ...GROUPS.flatMap(([group, title]) => ['', `## ${title}`, '', ...tableOf(group, all)]),
    '',
  ];
  return lines.join('\n');
}

if (import.meta.main) process.stdout.write(redisPage());
