/** XINFO: what there is to know of a stream, its groups and their consumers. */
import {
  idText,
  MAX_ID,
  MIN_ID,
  openStream,
  type StreamBody,
  type StreamConsumer,
  type StreamGroup,
  UNKNOWN_READ,
} from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { errors, integerArgument, MapReply, optionName, type Reply } from '../../protocol/index.ts';
import { helpCommand } from '../help.ts';
import { declareSubcommand, noGroupOfKey } from './declare-stream.ts';
import { entryReply } from './ids.ts';
import { lagOf } from './progress.ts';

const HELP: readonly string[] = [
  'CONSUMERS <key> <groupname>',
  '    The consumers of a group.',
  'GROUPS <key>',
  '    The groups of a stream.',
  'STREAM <key> [FULL [COUNT <count>]',
  '    The stream itself, or with FULL everything in it: of each thing 10,',
  '    or <count>, and all for 0.',
];

/** Entries that Redis has in a node of its tree. */
const NODE_ENTRIES = 100;
/** What FULL shows of each thing unless COUNT says otherwise. */
const USUAL_COUNT = 10;

/** @throws RedisError */
function requireStream(ctx: CommandContext, args: readonly Buffer[]): StreamBody {
  const stream = openStream(ctx, args[2]!);
  if (stream === undefined) throw errors.noSuchKey();
  return stream;
}

/** @returns undefined without FULL, else how much of each thing is shown, infinite for all @throws RedisError */
function parseFull(args: readonly Buffer[]): number | undefined {
  const [full, count, number] = args.slice(3);
  if (full === undefined) return undefined;
  const isCounted = args.length === 6 && optionName(count!) === 'COUNT';
  if (optionName(full) !== 'FULL' || !(args.length === 4 || isCounted))
    throw errors.subcommandSyntax('XINFO', args[1]!.toString('latin1'));
  const asked = number === undefined ? BigInt(USUAL_COUNT) : integerArgument(number);
  if (asked === 0n) return Number.POSITIVE_INFINITY;
  return asked < 0n ? USUAL_COUNT : Number(asked);
}

function shape(stream: StreamBody): [string, Reply][] {
  const nodes = Math.ceil(stream.length / NODE_ENTRIES);
  return [
    ['length', stream.length],
    ['radix-tree-keys', nodes],
    ['radix-tree-nodes', nodes + 1],
    ['last-generated-id', idText(stream.lastId)],
    ['max-deleted-entry-id', idText(stream.maxDeletedId)],
    ['entries-added', stream.entriesAdded],
    ['recorded-first-entry-id', idText(stream.firstId)],
  ];
}

function about(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const stream = requireStream(ctx, args);
  const limit = parseFull(args);
  if (limit !== undefined) {
    const entries = Array.from(stream.range(MIN_ID, MAX_ID, { limit }), entryReply);
    const groups = Array.from(stream.groups(), (group) => wholeGroup(stream, group, limit));
    return new MapReply([...shape(stream), ['entries', entries], ['groups', groups]]);
  }
  const edge = (isReverse: boolean): Reply => {
    const [entry] = stream.range(MIN_ID, MAX_ID, { isReverse, limit: 1 });
    return entry === undefined ? null : entryReply(entry);
  };
  return new MapReply([
    ...shape(stream),
    ['groups', stream.groupCount],
    ['first-entry', edge(false)],
    ['last-entry', edge(true)],
  ]);
}

const entriesReadOf = ({ entriesRead }: StreamGroup): Reply => (entriesRead === UNKNOWN_READ ? null : entriesRead);

function wholeGroup(stream: StreamBody, group: StreamGroup, limit: number): Reply {
  const pending = first(group.pendingFrom(MIN_ID, limit), limit).map(
    ({ id, consumer, deliveredMs, deliveries }): Reply => [
      ...[idText(id), group.consumerOf(consumer).name, deliveredMs, deliveries],
    ],
  );
  return new MapReply([
    ['name', group.name],
    ['last-delivered-id', idText(group.lastDelivered)],
    ['entries-read', entriesReadOf(group)],
    ['lag', lagOf(stream, group) ?? null],
    ['pel-count', group.pendingCount],
    ['pending', pending],
    ['consumers', Array.from(group.consumers(), (consumer) => wholeConsumer(group, consumer, limit))],
  ]);
}

function wholeConsumer(group: StreamGroup, consumer: StreamConsumer, limit: number): Reply {
  const pending = first(group.pendingFrom(MIN_ID, limit, consumer), limit).map(
    ({ id, deliveredMs, deliveries }): Reply => [idText(id), deliveredMs, deliveries],
  );
  return new MapReply([
    ['name', consumer.name],
    ['seen-time', consumer.seenMs],
    ['pel-count', consumer.pending.count],
    ['pending', pending],
  ]);
}

function first<T>(all: Iterable<T>, limit: number): T[] {
  const taken: T[] = [];
  for (const each of all) if (taken.push(each) >= limit) break;
  return taken;
}

function groups(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const stream = requireStream(ctx, args);
  return Array.from(
    stream.groups(),
    (group) =>
      new MapReply([
        ['name', group.name],
        ['consumers', group.consumerCount],
        ['pending', group.pendingCount],
        ['last-delivered-id', idText(group.lastDelivered)],
        ['entries-read', entriesReadOf(group)],
        ['lag', lagOf(stream, group) ?? null],
      ]),
  );
}

function consumers(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const group = requireStream(ctx, args).group(args[3]!);
  if (group === undefined) throw noGroupOfKey(args[2]!, args[3]!);
  return Array.from(
    group.consumers(),
    ({ name, pending, seenMs }) =>
      new MapReply([
        ['name', name],
        ['pending', pending.count],
        ['idle', Math.max(0, ctx.nowMs - seenMs)],
      ]),
  );
}

export const infoCommands: readonly CommandSpec[] = defineCommands([
  {
    name: 'xinfo',
    arity: -2,
    flags: [],
    group: 'stream',
    since: '5.0.0',
    summary: 'A container for commands that tell about streams.',
    subcommands: [
      declareSubcommand({
        name: 'stream',
        arity: -3,
        flags: ['readonly'],
        summary: 'What there is to know of a stream.',
        complexity: 'O(log N), with FULL O(N) in what is shown',
        differences:
          '`radix-tree-keys` and `radix-tree-nodes` are what a stream of so many entries usually has in Redis: there is another tree here.',
        run: about,
      }),
      declareSubcommand({
        name: 'groups',
        arity: 3,
        flags: ['readonly'],
        summary: 'The groups of a stream.',
        complexity: 'O(N) in the number of groups',
        run: groups,
      }),
      declareSubcommand({
        name: 'consumers',
        arity: 4,
        flags: ['readonly'],
        summary: 'The consumers of a group.',
        complexity: 'O(N) in the number of consumers',
        differences: '`idle` may be a second too long after reads of entries that were given before.',
        run: consumers,
      }),
      helpCommand({ container: 'xinfo', group: 'stream', since: '5.0.0', lines: HELP }),
    ],
  },
]);
