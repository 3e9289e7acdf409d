/** `routes`: which group has which range of keys, and how that is changed. */
import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import { SLOTTED_KEYS } from '../../../src/adapter/keyspaces.ts';
import type { RouteView } from '../../../src/cluster/index.ts';
import { counted } from '../../../src/platform/index.ts';
import { formatEnd, formatStart } from '../keys.ts';
import { type Column, renderJson, renderRows } from '../output.ts';
import { type Declare, examples, type Session } from '../session.ts';
import {
  collectKeys,
  parseDuration,
  parseGroupId,
  parseId,
  parseKeyArgument,
  parseRequestName,
  wholeNumber,
} from '../values.ts';
import { addJobCommands, waitForJob } from './jobs.ts';

const COLUMNS: readonly Column<RouteView>[] = [
  { name: 'route', align: 'right', value: (route) => String(route.id) },
  { name: 'start', value: (route) => formatStart(route.start) },
  { name: 'end', value: (route) => formatEnd(route.end) },
  { name: 'group', align: 'right', value: (route) => String(route.groupId) },
  { name: 'state', value: (route) => route.state },
  { name: 'job', align: 'right', value: (route) => (route.jobId === 0 ? '-' : String(route.jobId)) },
  { name: 'version', align: 'right', value: (route) => String(route.modifiedVersion) },
];

const VERSION_FLAG = [
  '--at-version <version>',
  'refuse when the directory is at another version',
  wholeNumber(0, Number.MAX_SAFE_INTEGER),
] as const;
const KEY_HELP = `
Keys: text with \\xNN for any byte, hex:0a1b, or slot:N[/db] for the storage key at which a slot of Redis begins.`;

const version = (flags: { atVersion?: number }): { expectedVersion?: number } =>
  flags.atVersion === undefined ? {} : { expectedVersion: flags.atVersion };

/** Keys at which the slots of a database fall into `parts` ranges of equal size. */
function evenSlots(parts: number, db: number): Buffer[] {
  const { slotCount, slotStart } = SLOTTED_KEYS;
  return Array.from({ length: parts - 1 }, (_, at) => slotStart(db, Math.floor(((at + 1) * slotCount) / parts)));
}

/** Adds the commands. */
export function addRouteCommands(program: Command, declare: Declare): void {
  const routes = examples(
    program
      .command('routes')
      .summary('list, split, move and merge ranges of keys')
      .description('The directory of ranges: every key lies in one route, every route belongs to one group.')
      .addHelpText('after', KEY_HELP),
    ['routes list', 'the whole directory'],
    ['routes split slot:8192', 'cut in the middle of the slots of database 0'],
    ['routes move slot:8192 2 --wait', 'give the right half to group 2'],
  );
  addList(routes, declare);
  addSplits(routes, declare);
  addMoveAndMerge(routes, declare);
  addJobCommands(routes, declare);
  addWatch(routes, declare);
}

function addList(routes: Command, declare: Declare): void {
  const list = routes
    .command('list')
    .summary('the directory of ranges')
    .description('All routes of one version of the directory, in order of their keys.')
    .option('--start <key>', 'from this key on', parseKeyArgument)
    .option('--end <key>', 'up to this key', parseKeyArgument)
    .option('--group <id>', 'only those of this group', parseGroupId)
    .option('--limit <count>', 'at most so many', wholeNumber(1, 1e9))
    .addHelpText('after', KEY_HELP);
  declare(
    examples(
      list,
      ['routes list', 'everything'],
      ['routes list --group 2 --limit 10', 'the first ten of group 2'],
      ['routes list --start slot:0/1 --end slot:0/2', 'where database 1 is'],
    ),
    async (session: Session, flags: { start?: Buffer; end?: Buffer; group?: number; limit?: number }) => {
      const found: RouteView[] = [];
      let newest = { version: 0, incarnation: 0 };
      const request = {
        start: flags.start ?? Buffer.alloc(0),
        limit: flags.limit ?? 0,
        ...(flags.end === undefined ? {} : { end: flags.end }),
        ...(flags.group === undefined ? {} : { groupId: flags.group }),
      };
      for await (const page of session.cluster.stream('ListRoutes', request, false)) {
        newest = { version: page.version, incarnation: page.incarnation };
        found.push(...page.routes);
      }
      session.rows({ ...newest, routes: found }, COLUMNS, found);
      if (session.format === 'table') session.line(`version ${newest.version}, ${counted(found.length, 'route')}`);
    },
  );
}

function addSplits(routes: Command, declare: Declare): void {
  const split = routes
    .command('split')
    .summary('cut a route in two')
    .description('The right half begins with the key. Both stay in their group and no data moves.')
    .argument('<key>', 'the first key of the right half', parseKeyArgument)
    .option(...VERSION_FLAG)
    .addHelpText('after', KEY_HELP);
  declare(
    examples(
      split,
      ['routes split slot:8192', 'in the middle of the slots'],
      ['routes split hex:7200', 'at two bytes'],
    ),
    async (session: Session, key: Buffer, flags: { atVersion?: number }) => {
      const result = await session.cluster.call('Split', { key, ...version(flags) });
      session.outcome(
        result,
        `split at ${formatStart(key)}: routes ${result.routeIds.join(' and ')}, version ${result.version}`,
      );
    },
  );

  const batch = routes
    .command('batch_split')
    .alias('batch-split')
    .summary('cut at many keys at once')
    .description('All cuts in one version of the directory, or none. At most 256.')
    .argument('[key...]', 'the first keys of the new routes', collectKeys)
    .option('--slots <parts>', 'instead of keys: fall into so many equal ranges of slots', wholeNumber(2, 257))
    .option('--db <number>', 'database of --slots', wholeNumber(0, 15), 0)
    .option('--batch-id <hex>', 'id of an earlier batch whose answer was lost', parseRequestName)
    .option(...VERSION_FLAG)
    .addHelpText('after', KEY_HELP);
  declare(
    examples(
      batch,
      ['routes batch_split slot:4096 slot:8192 slot:12288', 'four routes'],
      ['routes batch_split --slots 16', 'sixteen routes of 1024 slots each'],
    ),
    async (
      session: Session,
      keys: Buffer[] | undefined,
      flags: { slots?: number; db: number; batchId?: Buffer; atVersion?: number },
    ) => {
      const named = keys ?? [];
      const wanted = flags.slots === undefined ? named : evenSlots(flags.slots, flags.db);
      if (wanted.length === 0 || (named.length > 0 && flags.slots !== undefined)) {
        batch.error('error: name keys or --slots, one of the two', { exitCode: 2 });
      }
      const batchId = flags.batchId ?? randomBytes(16);
      if (session.format === 'table') session.note(`batch ${batchId.toString('hex')}`);
      const result = await session.cluster.call('BatchSplit', { keys: wanted, batchId, ...version(flags) });
      session.outcome(
        { ...result, batchId: batchId.toString('hex') },
        `${counted(wanted.length, 'cut')} in version ${result.version}: ${counted(result.routeIds.length, 'route')}`,
      );
    },
  );
}

function addMoveAndMerge(routes: Command, declare: Declare): void {
  const move = routes
    .command('move')
    .summary('give a route to another group')
    .description('Begins a job that copies the data while it is served; writes pause for a moment at the end.')
    .argument('<key|id:N>', 'any key of the route, or its id', parseRouteRef)
    .argument('<group>', 'group that gets it', parseGroupId)
    .option('--wait', 'wait until the job is done, and show its phases')
    .option('--wait-timeout <duration>', 'longest wait', parseDuration, 600_000)
    .option(...VERSION_FLAG)
    .addHelpText('after', KEY_HELP);
  declare(
    examples(
      move,
      ['routes move slot:8192 2', 'the route that has slot 8192 goes to group 2'],
      ['routes move id:17 2 --wait', 'route 17, and wait for it'],
    ),
    async (
      session: Session,
      ref: { key: Buffer } | { routeId: number },
      toGroup: number,
      flags: { wait?: boolean; waitTimeout: number; atVersion?: number },
    ) => {
      const job = await session.cluster.call('Move', { ...ref, toGroup, ...version(flags) });
      const sentence = `job ${job.id} moves route ${job.routeId} from group ${job.src} to group ${job.dst}`;
      if (!flags.wait) {
        session.outcome(job, sentence);
        return;
      }
      session.note(sentence);
      const done = await waitForJob(session, job.id, flags.waitTimeout);
      session.outcome(done, `route ${done.routeId} is in group ${done.dst}`);
    },
  );

  const merge = routes
    .command('merge')
    .summary('join two neighbouring routes')
    .description(
      'In one group no data moves. In different groups this begins a job that moves the smaller route to the group of the other and ' +
        'joins them there; until then both are held. `routes abort` gives it up.',
    )
    .argument('<boundary>', 'the key at which the right one of the two starts', parseKeyArgument)
    .option('--wait', 'wait until the job is done, and show its phases')
    .option('--wait-timeout <duration>', 'longest wait', parseDuration, 600_000)
    .option(...VERSION_FLAG)
    .addHelpText('after', KEY_HELP);
  declare(
    examples(
      merge,
      ['routes merge slot:8192', 'undoes `routes split slot:8192`'],
      ['routes merge slot:8192 --wait', 'waits when the two are in different groups'],
    ),
    async (session: Session, boundary: Buffer, flags: { wait?: boolean; waitTimeout: number; atVersion?: number }) => {
      const result = await session.cluster.call('Merge', { boundary, ...version(flags) });
      const { job } = result;
      if (job === undefined) {
        session.outcome(result, `merged into route ${result.routeIds.join(', ')}, version ${result.version}`);
        return;
      }
      const sentence = `job ${job.id} moves route ${job.routeId} from group ${job.src} to group ${job.dst} and merges it with route ${job.mergeWith} there`;
      if (!flags.wait) {
        session.outcome(result, sentence);
        return;
      }
      session.note(sentence);
      const done = await waitForJob(session, job.id, flags.waitTimeout);
      session.outcome(done, `routes ${done.routeId} and ${done.mergeWith} are one in group ${done.dst}`);
    },
  );
}

/** `id:17`, or any key. */
function parseRouteRef(text: string): { key: Buffer } | { routeId: number } {
  return text.startsWith('id:') ? { routeId: parseId(text.slice(3)) } : { key: parseKeyArgument(text) };
}

function addWatch(routes: Command, declare: Declare): void {
  const watch = routes
    .command('watch')
    .summary('the directory as it changes')
    .description(
      'Prints the routes that there are, then every change, until it is stopped with Ctrl-C. JSON: one object a line.',
    )
    .option('--only-changes', 'without the routes that are there already')
    .option('-n, --count <number>', 'stop after so many versions', wholeNumber(1, 1e9));
  declare(
    examples(
      watch,
      ['routes watch --only-changes', 'what happens from now on'],
      ['routes watch -w json | jq .version', 'for a program'],
    ),
    async (session: Session, flags: { onlyChanges?: boolean; count?: number }) => {
      let versions = 0;
      const request = { onlyChanges: flags.onlyChanges === true };
      for await (const change of session.cluster.stream('WatchRoutes', request, true)) {
        if (session.format === 'json') session.line(JSON.stringify(JSON.parse(renderJson(change))));
        else {
          const kind = change.isSnapshot ? 'snapshot' : 'change';
          if (session.format === 'table') session.line(`version ${change.version} (${kind})`);
          for (const { id, start } of change.removed) session.line(`- ${id}\t${formatStart(start)}`);
          for (const line of renderRows(COLUMNS, change.upserts, 'simple').split('\n')) {
            if (line !== '') session.line(`+ ${line}`);
          }
        }
        if (!change.hasMore && ++versions === flags.count) return;
      }
    },
  );
}
