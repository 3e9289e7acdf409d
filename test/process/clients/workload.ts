/** Programs that are run against a cluster whose nodes are killed, and what they report. */
import { setTimeout as pause } from 'node:timers/promises';

/** Where the programs find the cluster. */
export interface Bed {
  /** Port of a node on 127.0.0.1. */
  port(nodeId: number): number;
  /** Messages that nodes have not sent on, because they took another one for dead or too many waited. */
  droppedMessages(): Promise<number>;
}

/** What a program has found. */
export interface Outcome {
  readonly summary: string;
  /** What was not as the program's documentation promises; empty when all was. */
  readonly complaints: readonly string[];
}

/** A program under way. */
export interface Running {
  /** How far it is, in some words. */
  progress(): string;
  /** A node is about to be killed. */
  beforeKill?(): Promise<void>;
  /** All nodes are back. */
  afterRevival?(): Promise<void>;
  /** Stops asking for work, waits until what was asked for is done, and ends. */
  finish(): Promise<Outcome>;
}

export type Workload = (bed: Bed) => Promise<Running>;

/** How often each kind of error was met. */
export class Errors {
  private readonly kinds = new Map<string, number>();

  note(error: unknown): void {
    const kind = (error as Error).message.split(/[\s:]/, 1)[0]!;
    this.kinds.set(kind, (this.kinds.get(kind) ?? 0) + 1);
  }

  get text(): string {
    return [...this.kinds].map(([kind, times]) => `${kind} ${times}`).join(', ') || 'none';
  }
}

/** Work that was asked for, how often it was done, and what was said of it. */
export class WorkRecord {
  readonly added = new Set<string>();
  readonly done = new Map<string, number>();
  /** Work of which was said that it may be done again. */
  readonly reported = new Set<string>();

  noteDone(id: string): void {
    this.done.set(id, (this.done.get(id) ?? 0) + 1);
  }

  get isAllDone(): boolean {
    return [...this.added].every((id) => this.done.has(id));
  }

  get summary(): string {
    const again = this.doneAgain;
    return `${this.added.size} added, ${this.done.size} done, ${again.length} of them more than once`;
  }

  get complaints(): string[] {
    const missing = [...this.added].filter((id) => !this.done.has(id));
    const silent = this.doneAgain.filter((id) => !this.reported.has(id));
    return [
      ...missing.map((id) => `${id} was never done`),
      ...silent.map((id) => `${id} was done again without a word`),
    ];
  }

  private get doneAgain(): string[] {
    return [...this.done].filter(([, times]) => times > 1).map(([id]) => id);
  }
}

/** Does something again and again until `stop`, which settles when the last time is over. */
export function repeatedly(everyMs: number, work: (nth: number) => Promise<void>): { stop(): Promise<void> } {
  let isGoingOn = true;
  const loop = async (): Promise<void> => {
    for (let nth = 0; isGoingOn; nth++) {
      await work(nth);
      await pause(everyMs);
    }
  };
  const ended = loop();
  return {
    stop: () => {
      isGoingOn = false;
      return ended;
    },
  };
}

/** Asks until there is an answer. */
export async function persistently<T>(errors: Errors, ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      errors.note(error);
      await pause(50);
    }
  }
}
