/**
 * Collections whose elements are read, written and removed one by one and as a whole. Each element is an object of its own, absent at first, and
 * its part of the history must be linearizable: what concerns a whole collection (reading all of it, removing it) is an operation on each of its
 * elements at a moment of its own. That a whole read is of one moment, transactions of lists say more sharply.
 */
import { type Checker, type CheckResult, type Op, pairOps } from '../history.ts';
import { linearizability, type Model } from './linearizability.ts';

/** What an operation was about. `collection` is the key; elements are names inside. */
export interface ElementsInput {
  readonly collection: string;
  /** `put` and `replace`: names and values; `remove` and `get`: names with null; `increment`: one name and by how much. */
  readonly elements?: readonly (readonly [name: string, value: unknown])[];
}

/** What is known of how it ended, besides. */
export interface ElementsOutput extends ElementsInput {
  /** `put` and `remove`: how many were new, or were there; only used when there was one element. */
  readonly count?: number;
  /** `get`: the value or null; `increment`: the value after it. */
  readonly value?: unknown;
  /** `pop`: the element that was taken; null when there was none. */
  readonly popped?: string | null;
  /** `all`: every element with its value. */
  readonly all?: readonly (readonly [name: string, value: unknown])[];
}

/** One element: its value as JSON, `null` when it is absent. */
export const elementModel: Model<string> = {
  name: 'element',
  initial: () => 'null',
  step(state, f, input, output) {
    switch (f) {
      case 'get':
        return output === undefined || JSON.stringify(output) === state ? state : undefined;
      case 'put':
        return output === undefined || output === (state === 'null') ? JSON.stringify(input) : undefined;
      case 'remove':
        return output === undefined || output === (state !== 'null') ? 'null' : undefined;
      case 'increment': {
        const after = Number(state === 'null' ? 0 : JSON.parse(state)) + (input as number);
        return output === undefined || output === after ? JSON.stringify(after) : undefined;
      }
      default:
        throw new Error(`an operation of unknown kind ${f}`);
    }
  },
  stateKey: (state) => state,
  isReadOnly: (f) => f === 'get',
};

/** An operation on one element. */
interface Part {
  readonly f: string;
  readonly name: string;
  readonly input: unknown;
  readonly output: unknown;
}

type NamesByCollection = ReadonlyMap<string, ReadonlySet<string>>;

const nameIn = ({ collection }: ElementsInput, element: string): string => `${collection}/${element}`;

/** What an operation did to the elements that anybody has named. `output` is undefined when nobody knows how it ended. */
function partsOf(
  f: string,
  input: ElementsInput,
  output: ElementsOutput | undefined,
  known: NamesByCollection,
): Part[] {
  const elements = input.elements ?? [];
  const whole = (kind: string, outputOf: (name: string) => unknown): Part[] =>
    [...(known.get(input.collection) ?? [])].map((name) => ({
      f: kind,
      name: nameIn(input, name),
      input: null,
      output: outputOf(name),
    }));
  const isOne = elements.length === 1;
  switch (f) {
    case 'put':
    case 'remove': {
      const outcome = isOne && output?.count !== undefined ? output.count === 1 : undefined;
      return elements.map(([name, value]) => ({ f, name: nameIn(input, name), input: value, output: outcome }));
    }
    case 'get':
    case 'increment': {
      const [name, value] = elements[0]!;
      return [{ f, name: nameIn(input, name), input: value, output: output?.value }];
    }
    case 'clear':
      return whole('remove', () => undefined);
    case 'replace': {
      const added = elements.map(([name, value]) => ({
        f: 'put',
        name: nameIn(input, name),
        input: value,
        output: undefined,
      }));
      const addedNames = new Set(added.map(({ name }) => name));
      return [...whole('remove', () => undefined).filter(({ name }) => !addedNames.has(name)), ...added];
    }
    case 'look':
      return [];
    case 'all': {
      const found = new Map(output?.all);
      return output === undefined ? [] : whole('get', (name) => found.get(name) ?? null);
    }
    case 'pop': {
      // It took one of them, or none: each may be the one.
      if (output === undefined) return whole('remove', () => undefined);
      const { popped } = output;
      if (popped === null || popped === undefined) return whole('get', () => null);
      return [{ f: 'remove', name: nameIn(input, popped), input: null, output: true }];
    }
    default:
      throw new Error(`an operation of unknown kind ${f}`);
  }
}

/** Names of all elements that occur. */
function namesIn(history: readonly Op[]): NamesByCollection {
  const names = new Map<string, Set<string>>();
  for (const { value } of history) {
    const { collection, elements = [], all = [], popped } = value as ElementsOutput;
    const known = names.get(collection) ?? new Set();
    names.set(collection, known);
    for (const [name] of [...elements, ...all]) known.add(name);
    if (typeof popped === 'string') known.add(popped);
  }
  return names;
}

/** The same history as operations on one element each. */
function perElement(history: readonly Op[]): Op[] {
  const known = namesIn(history);
  const points: { readonly at: number; readonly op: Op }[] = [];
  let process = 0;
  for (const { invoke, completion } of pairOps(history)) {
    const output = completion?.type === 'ok' ? (completion.value as ElementsOutput) : undefined;
    for (const part of partsOf(invoke.f, invoke.value as ElementsInput, output, known)) {
      process += 1;
      const op = { ...invoke, f: part.f, process, value: [part.name, part.input] };
      points.push({ at: invoke.index, op });
      if (completion === undefined) continue;
      points.push({ at: completion.index, op: { ...op, type: completion.type, value: [part.name, part.output] } });
    }
  }
  points.sort((left, right) => left.at - right.at);
  return points.map(({ op }, index) => ({ ...op, index }));
}

const perElementChecker = linearizability({
  model: elementModel,
  cut(invoke, completion) {
    const [key, input] = invoke.value as [string, unknown];
    return { key, input, output: completion === undefined ? undefined : (completion.value as [string, unknown])[1] };
  },
});

/**
 * Operations: `put`, `remove`, `get`, `increment`, `pop`, `all`, `clear`, `replace` (everything by these elements) with the values above. A whole read
 * shows no element twice. What a replica shows (`look`) may be old, and is not judged here.
 */
export const elementsChecker: Checker = {
  name: 'elements',
  check(history): CheckResult {
    const clients = history.filter(({ process }) => process !== 'nemesis');
    const twice = clients.flatMap(({ type, f, index, value }) => {
      const names = type === 'ok' && f === 'all' ? (value as ElementsOutput).all!.map(([name]) => name) : [];
      const again = names.find((name, at) => names.indexOf(name) !== at);
      return again === undefined ? [] : [`event ${index} shows ${again} twice`];
    });
    const { valid, problems, facts } = perElementChecker.check(perElement(clients));
    return { valid: twice.length > 0 ? false : valid, problems: [...twice, ...problems], facts };
  },
};

/** What one transaction saw of a sorted set. */
export interface BoardView {
  /** All members with their scores, from the lowest. */
  readonly all: readonly (readonly [name: string, score: number])[];
  readonly size: number;
  /** Ranks of some members. */
  readonly ranks: readonly (readonly [name: string, rank: number | null])[];
  /** Members from one position to another, both included. */
  readonly slice: { readonly from: number; readonly to: number; readonly names: readonly string[] };
  /** How many scores are from one bound to another, and the members there from the highest. */
  readonly scores: {
    readonly min: number;
    readonly max: number;
    readonly count: number;
    readonly names: readonly string[];
  };
}

const sameNames = (left: readonly string[], right: readonly string[]): boolean =>
  JSON.stringify(left) === JSON.stringify(right);

function* contradictions({ all, size, ranks, slice, scores }: BoardView): Generator<string> {
  const names = all.map(([name]) => name);
  if (size !== names.length) yield `the size is ${size}, there are ${names.length}`;
  for (const [at, [name, score]] of all.entries()) {
    const before = all[at - 1];
    const isInOrder = before === undefined || before[1] < score || (before[1] === score && before[0] < name);
    if (!isInOrder) yield `${before![0]} (${before![1]}) comes before ${name} (${score})`;
  }
  for (const [name, rank] of ranks) {
    const place = names.indexOf(name);
    if ((rank ?? -1) !== place) yield `the rank of ${name} is ${rank}, its place ${place}`;
  }
  if (!sameNames(slice.names, names.slice(slice.from, slice.to + 1)))
    yield `positions ${slice.from} to ${slice.to} are ${slice.names.join()}`;
  const within = all.filter(([, score]) => score >= scores.min && score <= scores.max).map(([name]) => name);
  if (scores.count !== within.length) yield `${scores.count} scores are counted where there are ${within.length}`;
  if (!sameNames(scores.names, within.toReversed()))
    yield `scores ${scores.min} to ${scores.max} are ${scores.names.join()}`;
}

/** What one transaction saw of a collection: the names in it, and how many there are. */
export interface WholeView {
  readonly names: readonly string[];
  readonly size: number;
}

function* misfits({ names, size }: WholeView): Generator<string> {
  if (names.length !== size) yield `the size is ${size}, ${names.length} are shown`;
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) yield `${twice} is shown twice`;
}

/**
 * What a transaction read of a collection fits together, wherever it was read: `all` and `look` complete with a `view` of a board, `look` of another
 * collection with a `whole`.
 */
export const viewsChecker: Checker = {
  name: 'views',
  check(history): CheckResult {
    const problems: string[] = [];
    let views = 0;
    for (const { type, f, index, value } of history) {
      if (type !== 'ok' || (f !== 'all' && f !== 'look')) continue;
      const { view, whole } = value as { readonly view?: BoardView; readonly whole?: WholeView };
      views += 1;
      const found = [
        ...(view === undefined ? [] : contradictions(view)),
        ...(whole === undefined ? [] : misfits(whole)),
      ];
      for (const problem of found) problems.push(`event ${index}: ${problem}`);
    }
    return { valid: problems.length > 0 ? false : views === 0 ? 'unknown' : true, problems, facts: { views } };
  },
};
