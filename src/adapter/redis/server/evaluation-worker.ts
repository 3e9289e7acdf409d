/** The program of the thread that evaluates long reads, see `EvaluationThread`. */
import { parentPort } from 'node:worker_threads';
import { Keyspaces } from '../../../distribution/index.ts';
import { RowsView } from '../../../kv/index.ts';
import { assert, hlcTimestamp, SystemRandom } from '../../../platform/index.ts';
import { CommandTable, type Effect, isRunAlone } from '../command/index.ts';
import { ALL_COMMANDS } from '../commands/index.ts';
import { redisKeyspace } from '../keys/index.ts';
import { DEFAULT_LUA_LIMITS } from '../lua/index.ts';
import { ErrorReply, encodeReply, errorText, isUnexpected, type Reply } from '../protocol/index.ts';
import { alone, decodeMessage, type GroupRequest } from '../request/index.ts';
import { ScriptRuntime } from '../scripts/index.ts';
import { bufferOf, type EvaluationOrder, type EvaluationReport, ownBytes, unpackRows } from './evaluation-messages.ts';

assert(parentPort !== null, 'long reads are evaluated beside the thread that has the rows');
const port = parentPort;
const keyspaces = new Keyspaces([redisKeyspace]);
const table = new CommandTable(ALL_COMMANDS);
const random = new SystemRandom();
const scripts = new ScriptRuntime({ table, random, limits: DEFAULT_LUA_LIMITS });

/** A request and the rows that it is evaluated over. */
interface Task {
  readonly request: GroupRequest;
  readonly view: RowsView;
}
const tasks = new Map<number, Task>();

function begin({ ts, request, maxStringBytes }: EvaluationOrder & { readonly kind: 'begin' }): Task {
  const message = decodeMessage(bufferOf(request), {
    settings: { random, maxStringBytes, scripts },
    owner: alone(),
    findData: (args) => table.resolve(args)?.spec,
  });
  assert(message.kind === 'batch' && message.requests.length === 1, 'one request is evaluated');
  return { request: message.requests[0]!, view: new RowsView(hlcTimestamp(ts), (key) => keyspaces.align(key)) };
}

function report(what: EvaluationReport, transfer: readonly ArrayBuffer[] = []): void {
  port.postMessage(what, transfer);
}

/** @param effects of the evaluation; whoever has sent the request lets them leave */
function replied(id: number, { resp }: GroupRequest, reply: Reply, effects: readonly Effect[]): void {
  const bytes = ownBytes([encodeReply(reply, resp)]);
  report({ kind: 'reply', id, reply: bytes, effects }, [bytes.buffer]);
}

function evaluate(id: number, { request, view }: Task): void {
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
      else if (isUnexpected(outcome.error)) report({ kind: 'failed', id, message: String(outcome.error.stack) });
      else replied(id, request, new ErrorReply(errorText(outcome.error, false)), []);
      break;
  }
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
  else if (order.kind === 'object') task.view.addObject(bufferOf(order.head));
  else if (order.kind === 'evaluate') evaluate(id, task);
  else tasks.delete(id);
});
