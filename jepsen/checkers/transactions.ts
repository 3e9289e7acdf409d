/**
 * Isolation checking over histories of list-append and read-write-register transactions, after Elle (Kingsbury & Alvaro
 * 2020). A transaction's value is a list of micro-operations: `["append", key, element]`, `["w", key, value]`,
 * `["r", key, observed]`. Written values are unique per key, so every read says who was read from; in list-append every
 * read also says in which order its predecessors wrote.
 */
import { type Checker, type CheckResult, type Op, type PairedOp, pairOps } from '../history.ts';
import { DependencyGraph, describeCycle, findAnomalies } from './cycles.ts';

type MicroOp = readonly [f: 'append' | 'w' | 'r', key: string | number, value: unknown];

interface Transaction {
  readonly id: number;
  readonly process: number;
  /** `ok`, or `info` when it may or may not have happened. */
  readonly type: 'ok' | 'info';
  readonly ops: readonly MicroOp[];
  readonly invokeIndex: number;
  readonly completeIndex: number;
}

interface Parsed {
  readonly transactions: Transaction[];
  /** Values written by transactions that certainly failed: reading one is G1a. */
  readonly failedWrites: Map<string, number>;
}

const valueKey = (key: string | number, value: unknown): string => `${key} ${JSON.stringify(value)}`;

function parse(history: readonly Op[]): Parsed {
  const transactions: Transaction[] = [];
  const failedWrites = new Map<string, number>();
  for (const { invoke, completion } of pairOps(history)) {
    if (completion?.type === 'fail') {
      for (const [f, key, value] of invoke.value as MicroOp[])
        if (f !== 'r') failedWrites.set(valueKey(key, value), invoke.index);
      continue;
    }
    transactions.push(toTransaction(transactions.length, invoke, completion));
  }
  return { transactions, failedWrites };
}

function toTransaction(id: number, invoke: Op, completion: PairedOp['completion']): Transaction {
  const known = completion?.type === 'ok';
  const ops = (known ? completion.value : invoke.value) as MicroOp[];
  return {
    id,
    process: invoke.process as number,
    type: known ? 'ok' : 'info',
    // What an unknown transaction read is not known, only what it may have written.
    ops: known ? ops : ops.filter(([f]) => f !== 'r'),
    invokeIndex: invoke.index,
    completeIndex: known ? completion.index : Number.POSITIVE_INFINITY,
  };
}

/**
 * Adds process and real-time order. Real time is added as its transitive reduction: on invocation a transaction depends
 * on the completed ones that no completed one follows (Elle's realtime graph). One of unknown outcome has an invocation too: it
 * cannot have taken effect before that. It has no end, so nothing is known to come after it.
 */
function addTimeEdges(graph: DependencyGraph, transactions: readonly Transaction[]): void {
  const lastOfProcess = new Map<number, Transaction>();
  const events: { at: number; transaction: Transaction; isInvoke: boolean }[] = [];
  for (const transaction of transactions) {
    events.push({ at: transaction.invokeIndex, transaction, isInvoke: true });
    if (transaction.type !== 'ok') continue;
    const previous = lastOfProcess.get(transaction.process);
    if (previous !== undefined) {
      graph.add({
        from: previous.id,
        to: transaction.id,
        kind: 'process',
        because: `both of process ${transaction.process}`,
      });
    }
    lastOfProcess.set(transaction.process, transaction);
    events.push({ at: transaction.completeIndex, transaction, isInvoke: false });
  }
  events.sort((a, b) => a.at - b.at);
  const frontier = new Set<Transaction>();
  const dependencies = new Map<number, Transaction[]>();
  for (const { transaction, isInvoke } of events) {
    if (!isInvoke) {
      for (const earlier of dependencies.get(transaction.id)!) frontier.delete(earlier);
      frontier.add(transaction);
      continue;
    }
    dependencies.set(transaction.id, [...frontier]);
    for (const earlier of frontier) {
      graph.add({
        from: earlier.id,
        to: transaction.id,
        kind: 'realtime',
        because: `T${earlier.id} completed before T${transaction.id} began`,
      });
    }
  }
}

/** Values that were read; a transaction of unknown outcome that wrote one of them has happened, with all that it wrote. */
class Observed {
  private readonly values = new Set<string>();

  constructor(transactions: readonly Transaction[]) {
    for (const transaction of transactions) {
      for (const { key, value } of externalReads(transaction)) {
        for (const one of Array.isArray(value) ? value : [value]) this.values.add(valueKey(key, one));
      }
    }
  }

  /** True when a transaction certainly took place. */
  hasHappened({ type, ops }: Transaction): boolean {
    return type === 'ok' || ops.some(([f, key, value]) => f !== 'r' && this.values.has(valueKey(key, value)));
  }
}

/** The order in which a key's versions came about, as far as it is known. */
interface VersionOrders {
  readonly graphEdges: (graph: DependencyGraph) => void;
  readonly problems: string[];
}

function writersOf(
  transactions: readonly Transaction[],
  f: 'append' | 'w',
  problems: string[],
): Map<string, Transaction> {
  const writers = new Map<string, Transaction>();
  for (const transaction of transactions) {
    for (const [g, key, value] of transaction.ops) {
      if (g !== f) continue;
      const id = valueKey(key, value);
      if (writers.has(id))
        problems.push(`workload error: value ${JSON.stringify(value)} of key ${key} was written twice`);
      writers.set(id, transaction);
    }
  }
  return writers;
}

/** A transaction must see its own earlier writes and consistent reads (internal consistency). */
function internalProblems(transaction: Transaction): string[] {
  const problems: string[] = [];
  const lists = new Map<string | number, { base: readonly unknown[] | undefined; added: unknown[] }>();
  const registers = new Map<string | number, unknown>();
  for (const [f, key, value] of transaction.ops) {
    if (f === 'append') {
      const entry = lists.get(key) ?? { base: undefined, added: [] };
      entry.added.push(value);
      lists.set(key, entry);
    } else if (f === 'w') {
      registers.set(key, value);
    } else if (Array.isArray(value) || lists.has(key)) {
      const observed = (value ?? []) as readonly unknown[];
      const entry = lists.get(key) ?? { base: undefined, added: [] };
      const expected = entry.base === undefined ? undefined : [...entry.base, ...entry.added];
      const fits =
        expected !== undefined
          ? JSON.stringify(observed) === JSON.stringify(expected)
          : JSON.stringify(observed.slice(observed.length - entry.added.length)) === JSON.stringify(entry.added);
      if (!fits)
        problems.push(
          `internal: T${transaction.id} read ${JSON.stringify(observed)} of key ${key} against its own operations`,
        );
      lists.set(key, { base: observed, added: [] });
    } else {
      if (registers.has(key) && JSON.stringify(registers.get(key)) !== JSON.stringify(value)) {
        problems.push(
          `internal: T${transaction.id} read ${JSON.stringify(value)} of key ${key} against its own operations`,
        );
      }
      registers.set(key, value);
    }
  }
  return problems;
}

/** Each read of a key by a transaction before its own writes to it: what it saw of others. */
function externalReads(transaction: Transaction): { key: string | number; value: unknown }[] {
  const touched = new Set<string | number>();
  const reads: { key: string | number; value: unknown }[] = [];
  for (const [f, key, value] of transaction.ops) {
    if (f === 'r' && !touched.has(key)) reads.push({ key, value });
    touched.add(key);
  }
  return reads;
}

/** Values of a key that a transaction wrote, in order; only the last is a version that others may see. */
function writesOf(transaction: Transaction, f: 'append' | 'w', key: string | number): unknown[] {
  return transaction.ops.filter(([g, k]) => g === f && k === key).map(([, , value]) => value);
}

function listAppendOrders(parsed: Parsed): VersionOrders {
  const problems: string[] = [];
  const { transactions, failedWrites } = parsed;
  const writers = writersOf(transactions, 'append', problems);
  const longest = new Map<string | number, readonly unknown[]>();
  for (const transaction of transactions) {
    for (const [f, key, value] of transaction.ops) {
      if (f !== 'r') continue;
      const list = (value ?? []) as readonly unknown[];
      const seen = longest.get(key) ?? [];
      const [shorter, longer] = list.length < seen.length ? [list, seen] : [seen, list];
      if (shorter.some((element, at) => JSON.stringify(element) !== JSON.stringify(longer[at]))) {
        problems.push(
          `incompatible order: key ${key} was read as ${JSON.stringify(shorter)} and as ${JSON.stringify(longer)}`,
        );
      }
      longest.set(key, longer);
      if (new Set(list.map((element) => JSON.stringify(element))).size !== list.length) {
        problems.push(`duplicate elements: T${transaction.id} read ${JSON.stringify(list)} of key ${key}`);
      }
      for (const element of list) {
        const id = valueKey(key, element);
        if (failedWrites.has(id))
          problems.push(`G1a: T${transaction.id} read ${JSON.stringify(element)} of key ${key}, whose writer failed`);
        else if (!writers.has(id))
          problems.push(
            `garbage read: T${transaction.id} read ${JSON.stringify(element)} of key ${key}, which nobody wrote`,
          );
      }
      const last = list.at(-1);
      const writer = last === undefined ? undefined : writers.get(valueKey(key, last));
      if (
        writer !== undefined &&
        writer !== transaction &&
        JSON.stringify(writesOf(writer, 'append', key).at(-1)) !== JSON.stringify(last)
      ) {
        problems.push(`G1b: T${transaction.id} read key ${key} in the middle of T${writer.id}`);
      }
    }
  }
  const observed = new Observed(transactions);
  const unobserved = new Map<string | number, { element: unknown; writer: Transaction }[]>();
  for (const transaction of transactions) {
    if (!observed.hasHappened(transaction)) continue;
    for (const [f, key, element] of transaction.ops) {
      if (f !== 'append' || (longest.get(key) ?? []).some((seen) => JSON.stringify(seen) === JSON.stringify(element)))
        continue;
      const list = unobserved.get(key) ?? [];
      list.push({ element, writer: transaction });
      unobserved.set(key, list);
    }
  }
  return {
    problems,
    graphEdges(graph) {
      for (const [key, list] of longest) {
        for (let at = 1; at < list.length; at++) {
          const earlier = writers.get(valueKey(key, list[at - 1]));
          const later = writers.get(valueKey(key, list[at]));
          if (earlier === undefined || later === undefined) continue;
          const because = `key ${key}: ${JSON.stringify(list[at])} was appended after ${JSON.stringify(list[at - 1])}`;
          graph.add({ from: earlier.id, to: later.id, kind: 'ww', because });
        }
      }
      for (const transaction of transactions) {
        for (const { key, value } of externalReads(transaction)) {
          const list = (value ?? []) as readonly unknown[];
          const last = list.at(-1);
          const writer = last === undefined ? undefined : writers.get(valueKey(key, last));
          if (writer !== undefined) {
            graph.add({
              from: writer.id,
              to: transaction.id,
              kind: 'wr',
              because: `key ${key}: read ${JSON.stringify(last)}`,
            });
          }
          if (list.length === (longest.get(key) ?? []).length) {
            // Appends that have happened and that no read ever saw come after everything that was read.
            for (const { element, writer: unseen } of unobserved.get(key) ?? []) {
              const because = `key ${key}: did not see ${JSON.stringify(element)}`;
              graph.add({ from: transaction.id, to: unseen.id, kind: 'rw', because });
            }
            continue;
          }
          const next = (longest.get(key) ?? [])[list.length];
          const overwriter = next === undefined ? undefined : writers.get(valueKey(key, next));
          if (overwriter !== undefined) {
            const because = `key ${key}: did not see ${JSON.stringify(next)}`;
            graph.add({ from: transaction.id, to: overwriter.id, kind: 'rw', because });
          }
        }
      }
    },
  };
}

function registerOrders(parsed: Parsed): VersionOrders {
  const problems: string[] = [];
  const { transactions, failedWrites } = parsed;
  const writers = writersOf(transactions, 'w', problems);
  // successor versions that are certain: a transaction that read one version and wrote the next, and the unset version before all
  const successors = new Map<string, { value: unknown; writer: Transaction }[]>();
  const addSuccessor = (key: string | number, before: unknown, value: unknown, writer: Transaction): void => {
    const id = valueKey(key, before);
    const list = successors.get(id) ?? [];
    list.push({ value, writer });
    successors.set(id, list);
  };
  const writtenKeys = new Map<string | number, Transaction[]>();
  for (const transaction of transactions) {
    const reads = new Map(externalReads(transaction).map(({ key, value }) => [key, value]));
    const keys = new Set(transaction.ops.filter(([f]) => f === 'w').map(([, key]) => key));
    for (const key of keys) {
      const last = writesOf(transaction, 'w', key).at(-1);
      const list = writtenKeys.get(key) ?? [];
      list.push(transaction);
      writtenKeys.set(key, list);
      if (reads.has(key) && reads.get(key) !== null) addSuccessor(key, reads.get(key), last, transaction);
    }
    for (const { key, value } of externalReads(transaction)) {
      if (value === null) continue;
      const id = valueKey(key, value);
      const writer = writers.get(id);
      if (failedWrites.has(id))
        problems.push(`G1a: T${transaction.id} read ${JSON.stringify(value)} of key ${key}, whose writer failed`);
      else if (writer === undefined)
        problems.push(
          `garbage read: T${transaction.id} read ${JSON.stringify(value)} of key ${key}, which nobody wrote`,
        );
      else if (writer !== transaction && JSON.stringify(writesOf(writer, 'w', key).at(-1)) !== JSON.stringify(value)) {
        problems.push(`G1b: T${transaction.id} read an intermediate value of key ${key} from T${writer.id}`);
      }
    }
  }
  // A version has one successor: two transactions that read it and wrote the next have lost one update.
  for (const [id, list] of successors) {
    const distinct = new Set(list.filter(({ writer }) => writer.type === 'ok').map(({ writer }) => writer.id));
    if (distinct.size > 1)
      problems.push(`lost update: ${[...distinct].map((t) => `T${t}`).join(' and ')} both replaced version ${id}`);
  }
  return {
    problems,
    graphEdges(graph) {
      const observed = new Observed(transactions);
      for (const [id, list] of successors) {
        const writer = writers.get(id);
        for (const { writer: next } of list) {
          if (writer !== undefined)
            graph.add({ from: writer.id, to: next.id, kind: 'ww', because: `replaced version ${id}` });
        }
      }
      for (const transaction of transactions) {
        for (const { key, value } of externalReads(transaction)) {
          if (value === null) {
            // Every version follows the unset one, so whoever wrote the key wrote after this read.
            for (const writer of writtenKeys.get(key) ?? []) {
              if (observed.hasHappened(writer))
                graph.add({ from: transaction.id, to: writer.id, kind: 'rw', because: `key ${key}: read unset` });
            }
            continue;
          }
          const writer = writers.get(valueKey(key, value));
          if (writer !== undefined) {
            graph.add({
              from: writer.id,
              to: transaction.id,
              kind: 'wr',
              because: `key ${key}: read ${JSON.stringify(value)}`,
            });
            // Whoever began to write when this version was there has overwritten it.
            for (const next of writtenKeys.get(key) ?? []) {
              if (next.invokeIndex < writer.completeIndex || !observed.hasHappened(next)) continue;
              const because = `key ${key}: did not see what was written after ${JSON.stringify(value)}`;
              graph.add({ from: transaction.id, to: next.id, kind: 'rw', because });
            }
          }
          for (const { writer: next } of successors.get(valueKey(key, value)) ?? []) {
            graph.add({
              from: transaction.id,
              to: next.id,
              kind: 'rw',
              because: `key ${key}: T${next.id} replaced ${JSON.stringify(value)}`,
            });
          }
        }
      }
    },
  };
}

function transactionChecker(name: string, ordersOf: (parsed: Parsed) => VersionOrders): Checker {
  return {
    name,
    check(history): CheckResult {
      const parsed = parse(history);
      const orders = ordersOf(parsed);
      const graph = new DependencyGraph();
      orders.graphEdges(graph);
      addTimeEdges(graph, parsed.transactions);
      const anomalies = findAnomalies(graph);
      const problems = [
        ...parsed.transactions.flatMap(internalProblems),
        ...new Set(orders.problems),
        ...anomalies.map(({ name: anomaly, cycle }) => `${anomaly}: ${describeCycle(cycle)}`),
      ];
      const names = [...new Set(problems.map((problem) => problem.slice(0, problem.indexOf(':'))))].sort();
      return {
        valid: problems.length === 0,
        problems,
        facts: { transactions: parsed.transactions.length, anomalies: names },
      };
    },
  };
}

/** Strict serializability of list-append transactions. */
export const listAppendChecker: Checker = transactionChecker('list-append', listAppendOrders);

/** Strict serializability of read-write-register transactions with unique written values, as far as versions can be ordered. */
export const registerTransactionChecker: Checker = transactionChecker('rw-register', registerOrders);
