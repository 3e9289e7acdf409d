/**
 * Linearizability by search (Wing & Gong 1993 with Lowe's memoisation of (linearized set, state), as Porcupine does it),
 * one key at a time: a history is linearizable when each key's part is (Herlihy & Wing 1990, locality). The search is
 * bounded in steps and remembered configurations; when a bound is hit the verdict is `unknown`, never valid.
 */
import { type Checker, type CheckResult, type Op, pairOps, type Verdict, worstVerdict } from '../history.ts';

/** Sequential behaviour of one object. States must be comparable by `stateKey`. */
export interface Model<State> {
  readonly name: string;
  initial(): State;
  /**
   * The state after an operation with this outcome, or undefined when the outcome is impossible here.
   * `output` is undefined when the outcome is unknown: any outcome is then allowed.
   */
  step(state: State, f: string, input: unknown, output: unknown): State | undefined;
  stateKey(state: State): string;
  /** True when an operation of unknown outcome cannot have changed anything and need not be considered. */
  isReadOnly(f: string): boolean;
}

/** How to cut a workload's operations into operations on one object. */
export interface KeyedOp {
  readonly key: string;
  readonly input: unknown;
  /** From the completion's value; undefined when unknown. */
  readonly output: unknown;
}

export interface LinearizabilityOptions<State> {
  readonly model: Model<State>;
  /** Cuts an operation; `completion` is undefined when the outcome is unknown. */
  cut(invoke: Op, completion: Op | undefined): KeyedOp;
  /** Search steps per key before giving up. */
  readonly maxSteps?: number;
  /** Remembered configurations per key before giving up. */
  readonly maxConfigurations?: number;
}

const DEFAULT_MAX_STEPS = 20_000_000;
const DEFAULT_MAX_CONFIGURATIONS = 2_000_000;

interface Call {
  readonly id: number;
  readonly f: string;
  readonly input: unknown;
  readonly output: unknown;
  readonly known: boolean;
  readonly invoke: Op;
}

/** Node of the doubly linked list of events that the search walks: a call, or the return that ends it. */
interface EventNode {
  readonly call: Call;
  readonly isReturn: boolean;
  match: EventNode | undefined;
  previous: EventNode | undefined;
  next: EventNode | undefined;
}

interface KeyVerdict {
  readonly valid: Verdict;
  readonly steps: number;
  /** Longest prefix of calls that could be linearized, for the report. */
  readonly problem: string | undefined;
}

function buildEvents(calls: readonly { call: Call; invokeIndex: number; returnIndex: number }[]): EventNode {
  const points: { at: number; node: EventNode }[] = [];
  for (const { call, invokeIndex, returnIndex } of calls) {
    const start: EventNode = { call, isReturn: false, match: undefined, previous: undefined, next: undefined };
    const end: EventNode = { call, isReturn: true, match: undefined, previous: undefined, next: undefined };
    start.match = end;
    points.push({ at: invokeIndex, node: start }, { at: returnIndex, node: end });
  }
  points.sort((a, b) => a.at - b.at);
  const head: EventNode = {
    call: undefined as never,
    isReturn: false,
    match: undefined,
    previous: undefined,
    next: undefined,
  };
  let tail = head;
  for (const { node } of points) {
    tail.next = node;
    node.previous = tail;
    tail = node;
  }
  return head;
}

function lift(node: EventNode): void {
  node.previous!.next = node.next;
  if (node.next !== undefined) node.next.previous = node.previous;
  const end = node.match!;
  end.previous!.next = end.next;
  if (end.next !== undefined) end.next.previous = end.previous;
}

function unlift(node: EventNode): void {
  const end = node.match!;
  end.previous!.next = end;
  if (end.next !== undefined) end.next.previous = end;
  node.previous!.next = node;
  if (node.next !== undefined) node.next.previous = node;
}

function describe(call: Call): string {
  const outcome = call.known ? JSON.stringify(call.output) : 'unknown';
  return `process ${String(call.invoke.process)} ${call.f}(${JSON.stringify(call.input)}) -> ${outcome} (event ${call.invoke.index})`;
}

function searchKey<State>(
  calls: readonly { call: Call; invokeIndex: number; returnIndex: number }[],
  model: Model<State>,
  maxSteps: number,
  maxConfigurations: number,
): KeyVerdict {
  const head = buildEvents(calls);
  const linearized = new Uint32Array((calls.length + 31) >>> 5);
  const seen = new Set<string>();
  const stack: { node: EventNode; state: State }[] = [];
  let knownLeft = calls.reduce((count, { call }) => count + (call.known ? 1 : 0), 0);
  let state = model.initial();
  let node: EventNode | undefined = head.next;
  let steps = 0;
  let deepest = -1;
  let stuckAt: EventNode | undefined;

  // Once every call with a known outcome has its place, those of unknown outcome need none: they may not have happened.
  while (knownLeft > 0) {
    if (++steps > maxSteps) return { valid: 'unknown', steps, problem: `gave up after ${maxSteps} search steps` };
    if (node === undefined) throw new Error('the search ran past the last event');
    if (!node.isReturn) {
      const { call } = node;
      const nextState = model.step(state, call.f, call.input, call.known ? call.output : undefined);
      let taken = false;
      if (nextState !== undefined) {
        linearized[call.id >>> 5]! |= 1 << (call.id & 31);
        const configuration = `${Buffer.from(linearized.buffer).toString('latin1')}|${model.stateKey(nextState)}`;
        if (!seen.has(configuration)) {
          if (seen.size >= maxConfigurations) {
            return { valid: 'unknown', steps, problem: `gave up after ${maxConfigurations} configurations` };
          }
          seen.add(configuration);
          stack.push({ node, state });
          state = nextState;
          if (call.known) knownLeft--;
          lift(node);
          taken = true;
        } else {
          linearized[call.id >>> 5]! &= ~(1 << (call.id & 31));
        }
      }
      node = taken ? head.next : node.next;
    } else {
      // The first return of a call that has no place yet: everything before it was tried, so go back.
      if (stack.length > deepest) {
        deepest = stack.length;
        stuckAt = node;
      }
      const top = stack.pop();
      if (top === undefined) {
        return {
          valid: false,
          steps,
          problem: `no order explains ${describe(stuckAt!.call)}; ${deepest} operations before it can be ordered`,
        };
      }
      state = top.state;
      const { call } = top.node;
      linearized[call.id >>> 5]! &= ~(1 << (call.id & 31));
      if (call.known) knownLeft++;
      unlift(top.node);
      node = top.node.next;
    }
  }
  return { valid: true, steps, problem: undefined };
}

/** Checks that every key's operations are linearizable with respect to a model. */
export function linearizability<State>(options: LinearizabilityOptions<State>): Checker {
  const { model } = options;
  return {
    name: `linearizable-${model.name}`,
    check(history): CheckResult {
      const byKey = new Map<string, { call: Call; invokeIndex: number; returnIndex: number }[]>();
      for (const { invoke, completion } of pairOps(history)) {
        if (completion?.type === 'fail') continue;
        const known = completion?.type === 'ok';
        if (!known && model.isReadOnly(invoke.f)) continue;
        const cut = options.cut(invoke, known ? completion : undefined);
        let calls = byKey.get(cut.key);
        if (calls === undefined) {
          calls = [];
          byKey.set(cut.key, calls);
        }
        calls.push({
          call: { id: calls.length, f: invoke.f, input: cut.input, output: cut.output, known, invoke },
          invokeIndex: invoke.index,
          // A call of unknown outcome may take effect at any time to the end, so it returns after every event.
          returnIndex: known ? completion!.index : history.length + calls.length,
        });
      }
      const problems: string[] = [];
      const verdicts: Verdict[] = [];
      let steps = 0;
      for (const [key, calls] of [...byKey].sort(([a], [b]) => (a < b ? -1 : 1))) {
        const verdict = searchKey(
          calls,
          model,
          options.maxSteps ?? DEFAULT_MAX_STEPS,
          options.maxConfigurations ?? DEFAULT_MAX_CONFIGURATIONS,
        );
        verdicts.push(verdict.valid);
        steps += verdict.steps;
        if (verdict.problem !== undefined) problems.push(`key ${key}: ${verdict.problem}`);
      }
      return { valid: worstVerdict(verdicts), problems, facts: { keys: byKey.size, steps } };
    },
  };
}

/** What a compare-and-set workload does to one register; values are JSON scalars, null is unset. */
export const registerModel: Model<string> = {
  name: 'register',
  initial: () => 'null',
  step(state, f, input, output) {
    if (f === 'read') return output === undefined || JSON.stringify(output) === state ? state : undefined;
    if (f === 'write') return JSON.stringify(input);
    const [expected, replacement] = input as [unknown, unknown];
    const matches = JSON.stringify(expected) === state;
    // An unknown compare-and-set either took effect (its expectation held) or did nothing, which needs no place in the order.
    if (output === undefined) return matches ? JSON.stringify(replacement) : undefined;
    if (output === true) return matches ? JSON.stringify(replacement) : undefined;
    return matches ? undefined : state;
  },
  stateKey: (state) => state,
  isReadOnly: (f) => f === 'read',
};
