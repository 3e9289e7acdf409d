/** The program of the thread that evaluates long reads and values that are built aside, see `EvaluationThread`. */
import { parentPort } from 'node:worker_threads';
import { Keyspaces } from '../../../distribution/index.ts';
import { RowsView } from '../../../kv/index.ts';
import { assert, hlcTimestamp, SystemClock, SystemRandom } from '../../../platform/index.ts';
import { Callers } from '../acl/index.ts';
import { CapturedRows, runOver } from '../aside/index.ts';
import { CommandTable, type Effect, isRunAlone } from '../command/index.ts';
import { ALL_COMMANDS } from '../commands/index.ts';
import { redisKeyspace } from '../keys/index.ts';
import { DEFAULT_LUA_LIMITS } from '../lua/index.ts';
import { ErrorReply, encodeReply, encodeReplyParts, errorText, isUnexpected, type Reply } from '../protocol/index.ts';
import { alone, CommandRequest, decodeMessage, type GroupRequest } from '../request/index.ts';
import { ScriptRuntime } from '../scripts/index.ts';
import { reportOf } from './aside-in-thread.ts';
import {
  bufferOf,
  type EvaluationOrder,
  type EvaluationReport,
  ownBytes,
  unpackKeys,
  unpackRows,
} from './evaluation-messages.ts';

assert(parentPort !== null, 'long reads are evaluated beside the thread that has the rows');
const port = parentPort;
const keyspaces = new Keyspaces([redisKeyspace]);
const table = new CommandTable(ALL_COMMANDS);
const callers = new Callers(table);
const random = new SystemRandom();
const scripts = new ScriptRuntime({ table, random, clock: new SystemClock(), limits: DEFAULT_LUA_LIMITS });

/** A request and the rows that it is evaluated over. */
type Task =
  | { readonly kind: 'read'; readonly request: GroupRequest; readonly view: RowsView }
  | { readonly kind: 'aside'; readonly request: CommandRequest; readonly view: CapturedRows };
const tasks = new Map<number, Task>();

function begin({ ts, request: encoded, maxStringBytes, aside }: EvaluationOrder & { readonly kind: 'begin' }): Task {
  const message = decodeMessage(bufferOf(encoded), {
    settings: { random, maxStringBytes, scripts, mayCreateBodies: () => aside?.mayCreateBodies ?? true },
    owner: alone(),
    findData: (args) => table.resolve(args)?.spec,
    readCaller: (bytes) => callers.decode(bytes),
  });
  assert(message.kind === 'batch' && message.requests.length === 1, 'one request is evaluated');
  const request = message.requests[0]!;
  const at = hlcTimestamp(ts);
  if (aside === undefined) return { kind: 'read', request, view: new RowsView(at, (key) => keyspaces.align(key)) };
  assert(request instanceof CommandRequest, 'a command writes aside');
  return { kind: 'aside', request, view: new CapturedRows(at) };
}

function report(what: EvaluationReport, transfer: readonly ArrayBuffer[] = []): void {
  port.postMessage(what, transfer);
}

/** Largest reply that is put together here, in bytes: four of the largest values. */
const MOST_REPLY_BYTES = 256 * 1024 * 1024;

/** A reply that is too large is an error instead: it would lie in the memory of the node until its client has taken it. */
function bytesOf({ resp }: GroupRequest, reply: Reply): Uint8Array<ArrayBuffer> {
  const parts = encodeReplyParts(reply, resp);
  const bytes = parts.reduce((sum, { length }) => sum + length, 0);
  if (bytes <= MOST_REPLY_BYTES) return ownBytes(parts);
  const text = `ERR a reply of ${bytes} bytes is larger than the ${MOST_REPLY_BYTES} that one may have; ask for it in parts`;
  return ownBytes([encodeReply(new ErrorReply(text), resp)]);
}

/** @param effects of the evaluation; whoever has sent the request lets them leave */
function replied(id: number, request: GroupRequest, reply: Reply, effects: readonly Effect[]): void {
  const bytes = bytesOf(request, reply);
  report({ kind: 'reply', id, reply: bytes, effects }, [bytes.buffer]);
}

function failed(id: number, error: Error): void {
  report({ kind: 'failed', id, message: String(error.stack) });
}

function evaluateAside(id: number, { request, view }: Task & { readonly kind: 'aside' }): void {
  const outcome = runOver(view, (copyRows) => request.runAside(view, copyRows));
  if (outcome.kind === 'error' && isUnexpected(outcome.error)) {
    failed(id, outcome.error);
    return;
  }
  const reply =
    outcome.kind === 'result'
      ? outcome.result.reply
      : outcome.kind === 'error'
        ? new ErrorReply(errorText(outcome.error, false))
        : null;
  const { report: said, transfer } = reportOf(id, outcome, bytesOf(request, reply), request.notedEffects());
  report(said, transfer);
}

function evaluateRead(id: number, { request, view }: Task & { readonly kind: 'read' }): void {
  const outcome = view.run((rows) => request.evaluate(rows));
  switch (outcome.kind) {
    case 'missing':
      report({ kind: 'missing', id, keys: outcome.keys.map((key) => ownBytes([key])) });
      break;
    case 'reply':
      replied(id, request, outcome.reply as Reply, request.notedEffects());
      break;
    case 'error':
      if (isRunAlone(outcome.error)) report({ kind: 'alone', id });
      else if (isUnexpected(outcome.error)) failed(id, outcome.error);
      else replied(id, request, new ErrorReply(errorText(outcome.error, false)), []);
      break;
  }
}

function addObjects({ kind, view }: Task, heads: Uint8Array): void {
  for (const head of unpackKeys(heads)) {
    if (kind === 'read') view.addObject(head);
    else view.addBody(head);
  }
}

function addKeys({ kind, view }: Task, keys: Uint8Array): void {
  assert(kind === 'read', 'what writes aside is given heads');
  for (const key of unpackKeys(keys)) view.addKey(key);
}

function addHeads({ kind, view }: Task, { page, absent }: EvaluationOrder & { readonly kind: 'heads' }): void {
  assert(kind === 'aside', 'what only reads is given objects');
  for (const row of unpackRows(page)) view.addHead({ key: row.key, live: row });
  for (const key of absent) view.addHead({ key: bufferOf(key), live: undefined });
}

port.on('message', (order: EvaluationOrder) => {
  const { id } = order;
  if (order.kind === 'begin') {
    tasks.set(id, begin(order));
    return;
  }
  const task = tasks.get(id);
  assert(task !== undefined, 'a task begins before anything is said of it');
  if (order.kind === 'rows') for (const row of unpackRows(order.page)) task.view.addRow(row.key, row);
  else if (order.kind === 'objects') addObjects(task, order.heads);
  else if (order.kind === 'keys') addKeys(task, order.keys);
  else if (order.kind === 'heads') addHeads(task, order);
  else if (order.kind === 'end') tasks.delete(id);
  else if (task.kind === 'read') evaluateRead(id, task);
  else evaluateAside(id, task);
});
