/**
 * A history is what every checker judges: the operations that clients invoked and what became of them, in the order in
 * which the harness saw the events. The format is Jepsen's, so that Elle and Knossos can read it too: an `invoke` is
 * followed, on the same process, by `ok` (happened), `fail` (certainly did not happen) or `info` (unknown: may have
 * happened, may still happen). A process never goes on after an `info`.
 */

export type OpType = 'invoke' | 'ok' | 'fail' | 'info';

/** One event. `value` is plain JSON; its shape is the workload's. */
export interface Op {
  readonly index: number;
  /** Nanoseconds since the run began, monotonic. */
  readonly time: number;
  /** A client's number, or 'nemesis'. */
  readonly process: number | 'nemesis';
  readonly type: OpType;
  readonly f: string;
  readonly value: unknown;
  /** Why it failed or is unknown. */
  readonly error?: string;
}

/** An operation of a client with both of its ends. */
export interface PairedOp {
  readonly invoke: Op;
  /** Undefined when the run ended first: unknown, like `info`. */
  readonly completion: Op | undefined;
}

/** Pairs every invocation with its completion, in order of invocation; nemesis events are left out. */
export function pairOps(history: readonly Op[]): PairedOp[] {
  const open = new Map<number, number>();
  const pairs: { invoke: Op; completion: Op | undefined }[] = [];
  for (const op of history) {
    if (op.process === 'nemesis') continue;
    if (op.type === 'invoke') {
      if (open.has(op.process))
        throw new HistoryError(`process ${op.process} invoked again before it completed`, op.index);
      open.set(op.process, pairs.length);
      pairs.push({ invoke: op, completion: undefined });
    } else {
      const position = open.get(op.process);
      if (position === undefined) throw new HistoryError(`process ${op.process} completed nothing`, op.index);
      open.delete(op.process);
      pairs[position]!.completion = op;
    }
  }
  return pairs;
}

/** The recording itself is broken: neither valid nor invalid, the harness is at fault. */
export class HistoryError extends Error {
  readonly index: number;

  constructor(message: string, index: number) {
    super(`${message} (event ${index})`);
    this.name = 'HistoryError';
    this.index = index;
  }
}

/** A verdict. `unknown` is never presented as valid. */
export type Verdict = true | false | 'unknown';

/** What a checker says: the verdict, in words why, and facts for the archive. */
export interface CheckResult {
  readonly valid: Verdict;
  /** One line each, for a person; empty when valid. */
  readonly problems: readonly string[];
  readonly facts: Readonly<Record<string, unknown>>;
}

/** Judges a finished history. */
export interface Checker {
  readonly name: string;
  check(history: readonly Op[]): CheckResult;
}

/** The worst of several verdicts: invalid beats unknown beats valid. */
export function worstVerdict(verdicts: readonly Verdict[]): Verdict {
  if (verdicts.includes(false)) return false;
  return verdicts.includes('unknown') ? 'unknown' : true;
}

/** Runs several checkers over one history and merges what they say under their names. */
export function composeCheckers(name: string, checkers: readonly Checker[]): Checker {
  return {
    name,
    check(history) {
      const results = checkers.map((checker) => ({ checker, result: checker.check(history) }));
      return {
        valid: worstVerdict(results.map(({ result }) => result.valid)),
        problems: results.flatMap(({ checker, result }) =>
          result.problems.map((problem) => `${checker.name}: ${problem}`),
        ),
        facts: Object.fromEntries(
          results.map(({ checker, result }) => [checker.name, { valid: result.valid, ...result.facts }]),
        ),
      };
    },
  };
}

/** Renders plain JSON as EDN; strings that are legal keywords become keywords where Jepsen expects them. */
function ednValue(value: unknown): string {
  if (value === null || value === undefined) return 'nil';
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  if (typeof value === 'string') return JSON.stringify(value);
  if (Array.isArray(value)) {
    const [head, ...rest] = value;
    // A micro-operation such as ["append", 3, 1]: Elle wants its function as a keyword.
    if (typeof head === 'string' && /^(append|r|w)$/.test(head)) return `[:${head} ${rest.map(ednValue).join(' ')}]`;
    return `[${value.map(ednValue).join(' ')}]`;
  }
  const entries = Object.entries(value as Record<string, unknown>);
  return `{${entries.map(([key, inner]) => `${/^[a-zA-Z][\w-]*$/.test(key) ? `:${key}` : JSON.stringify(key)} ${ednValue(inner)}`).join(', ')}}`;
}

/** One line of `history.edn`, in Jepsen's operation format. */
export function toEdn(op: Op): string {
  const process = op.process === 'nemesis' ? ':nemesis' : String(op.process);
  const error = op.error === undefined ? '' : `, :error ${JSON.stringify(op.error)}`;
  return `{:index ${op.index}, :time ${op.time}, :process ${process}, :type :${op.type}, :f :${op.f}, :value ${ednValue(op.value)}${error}}`;
}
