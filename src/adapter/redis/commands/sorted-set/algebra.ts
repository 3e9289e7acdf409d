/** Unions, intersections and differences of sorted sets and sets. */
import {
  newOrdered,
  type OrderedBody,
  openOrdered,
  openSet,
  type ScoredMember,
  type SetBody,
} from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import {
  countArgument,
  errors,
  optionName,
  parseDouble,
  RedisError,
  type Reply,
  requireInteger,
} from '../../protocol/index.ts';
import { readValue, ValueType } from '../../values/index.ts';
import { countedKeys } from '../declare.ts';
import { declareSortedSet } from './declare-sorted-set.ts';
import { memberReply, scoredReply } from './scored-replies.ts';

type Operation = 'union' | 'inter' | 'diff';

/** What a command's name says. */
interface AlgebraForm {
  readonly name: string;
  readonly operation: Operation;
  /** The result goes to a key, is answered, or only counted. */
  readonly result: 'stored' | 'answered' | 'counted';
}

interface AlgebraOptions {
  readonly weights: readonly number[];
  readonly aggregate: Aggregate;
  readonly withScores: boolean;
  /** 0 is none. */
  readonly limit: number;
}

/** Makes one score of the scores of two inputs. */
type Aggregate = (left: number, right: number) => number;

const AGGREGATES: Readonly<Record<string, Aggregate>> = {
  SUM: (left, right) => numberOrZero(left + right),
  MIN: (left, right) => chosen(left, right, right < left),
  MAX: (left, right) => chosen(left, right, right > left),
};

/** The first one unless the second one goes before it: NaN, which an infinite score times 0 is, never does. */
const chosen = (first: number, second: number, isSecond: boolean): number => (isSecond ? second : first);

/** The sum of two opposite infinities counts as 0, and so does an infinity times 0. */
const numberOrZero = (value: number): number => (Number.isNaN(value) ? 0 : value);

/** Members that are looked up together: so many rows come in one round where they come from afar. */
const BATCH_MEMBERS = 1_024;
/** Looking up more members than an input has, divided by this, costs more rows than reading all of it. */
const MEMBERS_A_ROW = 8;

/** An input: a sorted set, or a set whose members all have the score 1. */
class Source {
  private readonly body: OrderedBody | SetBody;
  /** Scores by member, when all were read. */
  private all: Map<string, number> | undefined;

  constructor(body: OrderedBody | SetBody) {
    this.body = body;
  }

  get size(): number {
    return this.body.size;
  }

  *members(): Iterable<ScoredMember> {
    if (!('has' in this.body)) yield* this.body.entries();
    else for (const member of this.body.members()) yield { member, score: 1 };
  }

  score(member: Buffer): number | undefined {
    if (this.all !== undefined) return this.all.get(member.toString('latin1'));
    if (!('has' in this.body)) return this.body.score(member);
    return this.body.has(member) ? 1 : undefined;
  }

  /** Says that so many members will be looked up at most. */
  expect(lookups: number): void {
    if (this.all !== undefined || lookups * MEMBERS_A_ROW <= this.size) return;
    this.all = new Map();
    for (const { member, score } of this.members()) this.all.set(member.toString('latin1'), score);
  }

  /** Says that these members are about to be looked up. */
  prefetch(members: readonly Buffer[]): void {
    if (this.all === undefined) this.body.prefetch(members);
  }
}

/** An input with what its scores are multiplied with. */
interface Operand {
  readonly source: Source;
  readonly weight: number;
}

/** Opens the inputs; a key that is there twice is opened once. @throws RedisError WRONGTYPE */
function openSources(ctx: CommandContext, keys: readonly Buffer[]): Source[] {
  const opened = new Map<string, Source>();
  return keys.map((key) => {
    const name = key.toString('latin1');
    let source = opened.get(name);
    if (source === undefined) {
      const isSet = readValue(ctx, key)?.type === ValueType.Set;
      source = new Source(isSet ? openSet(ctx, key) : openOrdered(ctx, key));
      opened.set(name, source);
    }
    return source;
  });
}

function parseOptions(args: readonly Buffer[], from: number, keyCount: number, form: AlgebraForm): AlgebraOptions {
  let weights: number[] = Array.from({ length: keyCount }, () => 1);
  let aggregate = AGGREGATES.SUM!;
  let withScores = false;
  let limit = 0;
  const isWeighted = form.operation !== 'diff' && form.result !== 'counted';
  for (let at = from; at < args.length; at++) {
    const name = optionName(args[at]!);
    const left = args.length - at - 1;
    if (name === 'WEIGHTS' && isWeighted && left >= keyCount) {
      weights = args.slice(at + 1, at + 1 + keyCount).map((argument) => {
        const weight = parseDouble(argument);
        if (weight === undefined) throw new RedisError('ERR weight value is not a float');
        return weight;
      });
      at += keyCount;
    } else if (name === 'AGGREGATE' && isWeighted && left >= 1) {
      const chosen = AGGREGATES[optionName(args[++at]!)];
      if (chosen === undefined) throw errors.syntax();
      aggregate = chosen;
    } else if (name === 'WITHSCORES' && form.result === 'answered') {
      withScores = true;
    } else if (name === 'LIMIT' && form.result === 'counted' && left >= 1) {
      limit = countArgument(args[++at]!, 0, "ERR LIMIT can't be negative");
    } else {
      throw errors.syntax();
    }
  }
  return { weights, aggregate, withScores, limit };
}

/** @param countAt where the number of keys is among the arguments */
function combine(ctx: CommandContext, args: readonly Buffer[], countAt: number, form: AlgebraForm): Reply {
  const count = requireInteger(args[countAt]!);
  if (count < 1n) throw new RedisError(`ERR at least 1 input key is needed for '${form.name}' command`);
  if (count > args.length - countAt - 1) throw errors.syntax();
  const behindKeys = countAt + 1 + Number(count);
  const sources = openSources(ctx, args.slice(countAt + 1, behindKeys));
  const options = parseOptions(args, behindKeys, sources.length, form);
  const operands = sources.map((source, nth): Operand => ({ source, weight: options.weights[nth]! }));
  // From the smallest on: it decides the order in which scores are added, and an intersection looks at no more than the first one has.
  if (form.operation !== 'diff') operands.sort((left, right) => left.source.size - right.source.size);
  if (form.result === 'counted') return countCommon(operands, options.limit);
  const members = membersOf(form.operation, operands, options.aggregate);
  if (form.result === 'stored') return store(ctx, form.name, args[1]!, members);
  const sorted = [...members].sort(
    (left, right) => left.score - right.score || Buffer.compare(left.member, right.member),
  );
  return options.withScores ? scoredReply(ctx, sorted) : memberReply(sorted);
}

function membersOf(operation: Operation, operands: readonly Operand[], aggregate: Aggregate): Iterable<ScoredMember> {
  if (operation === 'union') return union(operands, aggregate);
  return operation === 'inter' ? intersection(operands, aggregate) : difference(operands);
}

function union(operands: readonly Operand[], aggregate: Aggregate): Iterable<ScoredMember> {
  const found = new Map<string, { readonly member: Buffer; score: number }>();
  for (const { source, weight } of operands) {
    for (const { member, score } of source.members()) {
      const name = member.toString('latin1');
      const weighted = numberOrZero(score * weight);
      const known = found.get(name);
      if (known === undefined) found.set(name, { member, score: weighted });
      else known.score = aggregate(known.score, weighted);
    }
  }
  return found.values();
}

/** @param limit members that are wanted at most */
function* intersection(
  [first, ...others]: readonly Operand[],
  aggregate: Aggregate,
  limit = Number.POSITIVE_INFINITY,
): Generator<ScoredMember> {
  for (const { member, score } of inBatches(first!, others, Math.min(first!.source.size, limit))) {
    let total: number | undefined = numberOrZero(score * first!.weight);
    for (const { source, weight } of others) {
      const other = source === first!.source ? score : source.score(member);
      total = other === undefined ? undefined : aggregate(total, other * weight);
      if (total === undefined) break;
    }
    if (total !== undefined) yield { member, score: total };
  }
}

function* difference([first, ...others]: readonly Operand[]): Generator<ScoredMember> {
  if (others.some(({ source }) => source === first!.source)) return;
  const present = others.filter(({ source }) => source.size > 0);
  for (const each of inBatches(first!, present, first!.source.size)) {
    if (!present.some(({ source }) => source.score(each.member) !== undefined)) yield each;
  }
}

/** The members of an input, each batch after the other inputs were told that they will be asked for it. */
function* inBatches(first: Operand, others: readonly Operand[], lookups: number): Generator<ScoredMember> {
  if (first.source.size === 0) return;
  for (const { source } of others) source.expect(lookups);
  let batch: ScoredMember[] = [];
  const tell = (): void => {
    const members = batch.map(({ member }) => member);
    for (const { source } of others) source.prefetch(members);
  };
  for (const each of first.source.members()) {
    batch.push(each);
    if (batch.length < BATCH_MEMBERS) continue;
    tell();
    yield* batch;
    batch = [];
  }
  tell();
  yield* batch;
}

function countCommon(operands: readonly Operand[], limit: number): number {
  let count = 0;
  for (const _ of intersection(operands, AGGREGATES.SUM!, limit === 0 ? undefined : limit)) {
    count++;
    if (count === limit) break;
  }
  return count;
}

function store(ctx: CommandContext, name: string, key: Buffer, members: Iterable<ScoredMember>): number {
  // Everything is read before the key, which may be one of the inputs, becomes another one.
  const all = [...members];
  return ctx.stored('zset', name, key, () => {
    const stored = newOrdered(ctx, key);
    for (const { member, score } of all) stored.set(member, score);
    stored.save();
    return stored.size;
  });
}

/** A command that answers or counts: the number of its keys is its first argument. */
function answering(own: Omit<AlgebraForm, 'result'>, since: string, summary: string): CommandSpec {
  const form: AlgebraForm = { ...own, result: 'answered' };
  return declareSortedSet({
    name: own.name,
    arity: -3,
    flags: ['readonly', 'movablekeys'],
    keys: countedKeys(1),
    since,
    summary,
    complexity: 'O(N*log(N)) in the number of members of all inputs',
    run: (ctx, args) => combine(ctx, args, 1, form),
  });
}

/** A command that stores: the key of the result is its first argument. */
function storing(own: Omit<AlgebraForm, 'result'>, since: string, summary: string): CommandSpec {
  const form: AlgebraForm = { ...own, result: 'stored' };
  return declareSortedSet({
    name: own.name,
    writesWholeValue: true,
    arity: -4,
    flags: ['write', 'denyoom', 'movablekeys'],
    keys: { first: 1, last: 1, step: 1, all: countedKeys(2, 1) },
    since,
    summary,
    complexity: 'O(N*log(N)) in the number of members of all inputs',
    run: (ctx, args) => combine(ctx, args, 2, form),
  });
}

export const algebraCommands: readonly CommandSpec[] = defineCommands([
  answering({ name: 'zunion', operation: 'union' }, '6.2.0', 'Members of any input, with their scores put together.'),
  answering({ name: 'zinter', operation: 'inter' }, '6.2.0', 'Members of all inputs, with their scores put together.'),
  answering({ name: 'zdiff', operation: 'diff' }, '6.2.0', 'Members of the first input that no other one has.'),
  storing({ name: 'zunionstore', operation: 'union' }, '2.0.0', 'Keeps the members of any input in another key.'),
  storing({ name: 'zinterstore', operation: 'inter' }, '2.0.0', 'Keeps the members of all inputs in another key.'),
  storing({ name: 'zdiffstore', operation: 'diff' }, '6.2.0', 'Keeps what only the first input has in another key.'),
  declareSortedSet({
    name: 'zintercard',
    arity: -3,
    flags: ['readonly', 'movablekeys'],
    keys: countedKeys(1),
    since: '7.0.0',
    summary: 'Counts the members of all inputs, up to a limit.',
    complexity: 'O(N*K) for K inputs, the smallest of which has N members',
    run: (ctx, args) => combine(ctx, args, 1, { name: 'zintercard', operation: 'inter', result: 'counted' }),
  }),
]);
