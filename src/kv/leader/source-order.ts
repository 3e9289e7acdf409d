/**
 * Operations of one source (the pipeline of a connection, a batch that it has forwarded) that share a key run in the order in which
 * they were asked for. As long as nothing has to wait that is so by itself, and nothing is kept here. Once an operation waits
 * for a lock, those of its source that come later and share a key with it, or with one that waits behind it, wait too;
 * others go on.
 */
import { BusyError } from '../../raftengine/index.ts';
import type { Operation } from '../contract/index.ts';

/** Operations that are kept back at one time; more are refused. */
const MAX_HELD = 100_000;

export interface SourceOrderOptions {
  /** An operation is kept back from now on: its time for waiting runs. */
  readonly onHeld: (operation: Operation<unknown>) => void;
  /** Evaluates one that was kept back. */
  readonly again: (operation: Operation<unknown>, tries: number) => void;
  /** Completes one that cannot be kept back, or is not any more. */
  readonly refuse: (operation: Operation<unknown>, error: Error) => void;
}

/** An operation that waits, in the queue of each of its keys. */
interface Turn {
  readonly operation: Operation<unknown>;
  /** Of its keys; empty while it is the only one of its source: there may be very many. */
  names: readonly string[];
  /** What its next evaluation counts as. */
  tries: number;
  /** It waits for those before it. Otherwise it waits for something else, or is about to be evaluated. */
  isHeld: boolean;
}

/** Those of one source that wait, by key, in their order. */
type Line = Map<string, Turn[]>;

export class SourceOrder {
  private readonly options: SourceOrderOptions;
  private readonly lines = new Map<object, Line>();
  /** Those that wait as the only ones of their source: nobody has to know their keys. */
  private readonly alone = new Map<object, Turn>();
  private readonly turns = new Map<Operation<unknown>, Turn>();
  private heldCount = 0;

  constructor(options: SourceOrderOptions) {
    this.options = options;
  }

  /** Operations that wait; while it is 0 nothing needs to be asked here. */
  get size(): number {
    return this.turns.size;
  }

  /** Asked before an operation is evaluated. @returns true when it is not its turn: it comes again by itself, or is refused */
  holds(operation: Operation<unknown>, tries: number): boolean {
    const { source } = operation;
    if (source === undefined || this.alone.get(source)?.operation === operation) return false;
    const line = this.lineOf(source);
    if (line === undefined) return false;
    let turn = this.turns.get(operation);
    if (turn === undefined) {
      const names = namesOf(operation);
      if (!names.some((name) => isBehind(operation, line.get(name)))) return false;
      if (this.heldCount >= MAX_HELD) {
        this.options.refuse(operation, new BusyError('too many operations wait behind others; try again later'));
        return true;
      }
      turn = this.enter(line, operation, names);
    } else if (isFirst(line, turn)) return false;
    turn.tries = tries;
    turn.isHeld = true;
    this.heldCount++;
    this.options.onHeld(operation);
    return true;
  }

  /** An operation waits for something: what comes later and shares a key stays behind it until `left`. */
  waits(operation: Operation<unknown>): void {
    const { source } = operation;
    if (source === undefined || this.turns.has(operation)) return;
    const line = this.lineOf(source);
    if (line !== undefined) {
      this.enter(line, operation, namesOf(operation));
      return;
    }
    const turn: Turn = { operation, names: [], tries: 1, isHeld: false };
    this.turns.set(operation, turn);
    this.alone.set(source, turn);
  }

  /** The line of a source of which others wait: one that waits alone becomes the first in it. */
  private lineOf(source: object): Line | undefined {
    const first = this.alone.get(source);
    if (first === undefined) return this.lines.get(source);
    this.alone.delete(source);
    const line: Line = new Map();
    this.lines.set(source, line);
    first.names = namesOf(first.operation);
    place(line, first);
    return line;
  }

  /** False while another of its source that came before it and shares a key with it waits. */
  isFirst(operation: Operation<unknown>): boolean {
    const turn = this.turns.get(operation);
    const isAlone = turn === undefined || this.alone.get(operation.source!) === turn;
    return isAlone || isFirst(this.lines.get(operation.source!)!, turn);
  }

  /** An operation does not wait any more: it was evaluated, or completed. */
  left(operation: Operation<unknown>): void {
    const turn = this.turns.get(operation);
    if (turn === undefined) return;
    const source = operation.source!;
    this.turns.delete(operation);
    if (this.alone.get(source) === turn) {
      this.alone.delete(source);
      return;
    }
    const line = this.lines.get(source)!;
    const next: Turn[] = [];
    for (const name of turn.names) {
      const queue = line.get(name)!;
      queue.splice(queue.indexOf(turn), 1);
      if (queue.length > 0) next.push(queue[0]!);
      else line.delete(name);
    }
    if (line.size === 0) this.lines.delete(source);
    for (const one of next) if (one.isHeld && isFirst(line, one)) this.release(one);
  }

  private release(turn: Turn): void {
    turn.isHeld = false;
    this.heldCount--;
    this.options.again(turn.operation, turn.tries);
  }

  private enter(line: Line, operation: Operation<unknown>, names: readonly string[]): Turn {
    const turn: Turn = { operation, names, tries: 1, isHeld: false };
    this.turns.set(operation, turn);
    place(line, turn);
    return turn;
  }

  /** Refuses all that are kept back; those that wait for something else are refused by whoever keeps them. */
  failAll(error: Error): void {
    const turns = [...this.turns.values()];
    this.turns.clear();
    this.alone.clear();
    this.lines.clear();
    this.heldCount = 0;
    for (const { operation, isHeld } of turns) if (isHeld) this.options.refuse(operation, error);
  }
}

/** Operations that have to run again and cannot, because a later one of their source that shares a key has run, or is on its way. */
export class Overtaken {
  private readonly operations = new WeakSet<Operation<unknown>>();

  has(operation: Operation<unknown>): boolean {
    return this.operations.has(operation);
  }

  /** An operation has to run again. @param rivals those that have taken effect just now, or may */
  look(
    operation: Operation<unknown>,
    ...rivals: readonly (readonly { readonly operation: Operation<unknown> }[])[]
  ): void {
    const { source } = operation;
    if (source === undefined) return;
    let names: Set<string> | undefined;
    for (const list of rivals) {
      for (const { operation: rival } of list) {
        if (rival.source !== source || orderOf(rival) <= orderOf(operation)) continue;
        names ??= new Set(namesOf(operation));
        if (!namesOf(rival).some((name) => names!.has(name))) continue;
        this.operations.add(operation);
        return;
      }
    }
  }
}

/** True when one that the same source has asked for before is among the others. */
export function comesAfter(
  operation: Operation<unknown>,
  others: readonly (readonly { readonly operation: Operation<unknown> }[])[],
): boolean {
  const { source } = operation;
  if (source === undefined) return false;
  return others.some((list) =>
    list.some(({ operation: other }) => other.source === source && orderOf(other) < orderOf(operation)),
  );
}

/** Puts a turn into the queue of each of its keys. */
function place(line: Line, turn: Turn): void {
  const { operation } = turn;
  for (const name of turn.names) {
    const queue = line.get(name);
    if (queue === undefined) line.set(name, [turn]);
    else {
      // At the end, unless it was evaluated before those that wait and has to be evaluated again.
      let at = queue.length;
      while (at > 0 && orderOf(queue[at - 1]!.operation) > orderOf(operation)) at--;
      queue.splice(at, 0, turn);
    }
  }
}

const orderOf = ({ order }: Operation<unknown>): number => order ?? 0;

const namesOf = (operation: Operation<unknown>): string[] => [
  ...new Set((operation.storageKeys?.() ?? []).map((key) => key.toString('latin1'))),
];

const isBehind = (operation: Operation<unknown>, queue: readonly Turn[] | undefined): boolean =>
  queue !== undefined && orderOf(queue[0]!.operation) < orderOf(operation);

const isFirst = (line: Line, turn: Turn): boolean => turn.names.every((name) => line.get(name)![0] === turn);
