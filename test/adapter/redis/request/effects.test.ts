/** What leaves a node because of a command: once, when the command has taken effect, however often it was evaluated. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { Callers } from '../../../../src/adapter/redis/acl/index.ts';
import { CommandTable } from '../../../../src/adapter/redis/command/command-table.ts';
import { type Effect, Effects } from '../../../../src/adapter/redis/command/effects.ts';
import type { EvaluationSettings } from '../../../../src/adapter/redis/command/evaluation-context.ts';
import { ALL_COMMANDS } from '../../../../src/adapter/redis/commands/index.ts';
import { DEFAULT_LUA_LIMITS } from '../../../../src/adapter/redis/lua/index.ts';
import type { Reply } from '../../../../src/adapter/redis/protocol/reply.ts';
import { encodeReply } from '../../../../src/adapter/redis/protocol/reply-writer.ts';
import { alone } from '../../../../src/adapter/redis/request/cross-group.ts';
import { decodeMessage, encodeBatch } from '../../../../src/adapter/redis/request/forwarded-command.ts';
import { CommandRequest, type GroupRequest } from '../../../../src/adapter/redis/request/group-request.ts';
import type { QueuedData } from '../../../../src/adapter/redis/request/storage-keys.ts';
import { TransactionRequest } from '../../../../src/adapter/redis/request/transaction-requests.ts';
import { ScriptRuntime } from '../../../../src/adapter/redis/scripts/index.ts';
import { EvaluationThread } from '../../../../src/adapter/redis/server/evaluation-thread.ts';
import { type Clock, hlcTimestamp, SeededRandom, SystemScheduler } from '../../../../src/platform/index.ts';
import { OutcomeUnknownError } from '../../../../src/raftengine/errors.ts';
import { GROUP, LoneGroup } from '../../../support/lone-group.ts';
import { crossGroupServers } from './several-groups.ts';

const table = new CommandTable(ALL_COMMANDS);
const random = new SeededRandom(5);
/** Time that does not pass: no script takes too long. */
const STILL: Clock = { nowMs: () => 0, monotonicMs: () => 0 };

/** A script that says `words` to the log, and what it does beside. */
const saying = (words: string, rest = ''): string[] => ['EVAL', `redis.log(redis.LOG_WARNING, ${words}) ${rest}`, '0'];
const INCREMENT = saying("'count ' .. redis.call('INCR', 'n')", "return redis.call('GET', 'n')");

class Stage {
  readonly bed = new LoneGroup({ pipelineDepth: 8 });
  /** Texts that left, in order, and replies. */
  readonly left: string[] = [];
  evaluations = 0;
  private readonly settings: EvaluationSettings;

  constructor() {
    const runtime = new ScriptRuntime({ table, random, clock: STILL, limits: DEFAULT_LUA_LIMITS });
    const scripts = Object.assign(Object.create(runtime) as ScriptRuntime, {
      run: (...call: Parameters<ScriptRuntime['run']>) => {
        this.evaluations++;
        return runtime.run(...call);
      },
    });
    const emit = (effect: Effect) => {
      if (effect.kind === 'log') this.left.push(effect.text);
      else if (effect.kind === 'message') this.left.push(String(effect.message));
    };
    this.settings = { random, maxStringBytes: 1 << 20, scripts, emit };
  }

  private queued(words: readonly string[]): QueuedData {
    const args = words.map((word) => Buffer.from(word));
    return { spec: table.resolve(args)!.spec, args, db: 0 };
  }

  private get options() {
    const settled = (_: unknown, error: Error | undefined, reply: Reply | undefined) =>
      this.left.push(error === undefined ? encodeReply(reply ?? null, 2).toString('latin1') : error.name);
    return { resp: 2, settings: this.settings, owner: { ...alone(), settled }, token: 0 } as const;
  }

  command(...words: readonly string[]): GroupRequest {
    return new CommandRequest({ ...this.options, ...this.queued(words) });
  }

  transaction(...commands: readonly (readonly string[])[]): GroupRequest {
    return new TransactionRequest(
      [],
      commands.map((words) => this.queued(words)),
      this.options,
    );
  }

  /** The same request as the leader of its group gets it from another node. */
  forwarded(request: GroupRequest): GroupRequest {
    const { settings, owner } = this.options;
    const message = decodeMessage(encodeBatch(GROUP, [request]), {
      settings,
      owner,
      findData: (args) => table.resolve(args)?.spec,
      readCaller: (bytes) => new Callers(table).decode(bytes),
    });
    assert.ok(message.kind === 'batch');
    return message.requests[0]!;
  }

  submit(...requests: readonly GroupRequest[]): void {
    for (const request of requests) this.bed.executor.submit(request);
  }

  /** Another leader's write comes first in the log. */
  overtake(...words: readonly string[]): void {
    this.bed.overtake((other) => other.executor.submit(new Stage().command(...words)));
  }
}

describe('what a command says to others', () => {
  test('leaves when the command is applied and not before, ahead of its reply', () => {
    const stage = new Stage();
    stage.submit(stage.command(...INCREMENT));
    stage.bed.scheduler.endTurn();
    assert.deepEqual(stage.left, []);
    stage.bed.raft.commit();
    assert.deepEqual(stage.left, ['count 1', '$1\r\n1\r\n']);
  });

  test('leaves in the order of the writes, of commands and of transactions, also of those that came from another node', () => {
    const stage = new Stage();
    stage.submit(
      stage.command(...INCREMENT),
      stage.transaction(INCREMENT, ['INCR', 'n'], INCREMENT),
      stage.forwarded(stage.command(...INCREMENT)),
    );
    stage.bed.settle();
    const texts = stage.left.filter((line) => line.startsWith('count'));
    assert.deepEqual(texts, ['count 1', 'count 2', 'count 4', 'count 5']);
  });

  test('leaves once, and says what came to pass, when the command has lost a conflict and is evaluated again', () => {
    const stage = new Stage();
    stage.submit(stage.command(...INCREMENT), stage.transaction(INCREMENT, ['INCR', 'm']));
    stage.bed.scheduler.endTurn();
    stage.overtake('SET', 'n', '100');
    stage.bed.settle();
    assert.equal(stage.evaluations, 4);
    assert.deepEqual(
      stage.left.filter((line) => line.startsWith('count')),
      ['count 101', 'count 102'],
    );
  });

  test('never leaves when nobody knows what became of the command', () => {
    const stage = new Stage();
    stage.submit(stage.command(...INCREMENT));
    stage.bed.scheduler.endTurn();
    stage.bed.raft.drop('unknown');
    assert.deepEqual(stage.left, [OutcomeUnknownError.name]);
  });

  test('never leaves when the command is refused, and leaves when the next leader evaluates it', () => {
    const stage = new Stage();
    const request = stage.command(...INCREMENT);
    stage.submit(request);
    stage.bed.scheduler.endTurn();
    stage.bed.raft.drop('notProposed');
    assert.deepEqual(stage.left, ['NotLeaderError']);
    stage.submit(request);
    stage.bed.settle();
    assert.deepEqual(stage.left.slice(1), ['count 1', '$1\r\n1\r\n']);
  });

  test('stays with what a failing script has written', () => {
    const stage = new Stage();
    stage.submit(stage.command(...saying("'before'", "redis.call('SET', 'k', 'v') error('stop')")));
    stage.bed.settle();
    assert.equal(stage.left[0], 'before');
    assert.match(stage.left[1]!, /stop/);
  });

  test('is dropped with all of a command that says too much, also in MULTI', () => {
    const stage = new Stage();
    const loud = saying("string.rep('x', 1e6)", "redis.call('SET', 'k', 'v')");
    loud[1] = `for i = 1, 70 do ${loud[1]} end`;
    stage.submit(stage.command(...loud), stage.transaction(['SET', 'k', 'v'], loud), stage.command('GET', 'k'));
    stage.bed.settle();
    assert.deepEqual(stage.left, ['RedisError', 'RedisError', '$-1\r\n']);
  });

  test('that only reads leaves once it is known to be true', () => {
    const stage = new Stage();
    stage.submit(stage.command('SET', 'n', '7'), stage.command(...saying("redis.call('GET', 'n')")));
    stage.bed.scheduler.endTurn();
    assert.deepEqual(stage.left, []);
    stage.overtake('SET', 'other', '1');
    stage.bed.settle();
    assert.deepEqual(stage.left, ['+OK\r\n', '7', '$-1\r\n']);
  });
});

describe('what a command over several groups says', () => {
  const start = crossGroupServers();

  test('leaves once, after the transaction, however many rounds of reading it took', async () => {
    const bed = await start();
    const text = "redis.log(redis.LOG_WARNING, 'sum ' .. redis.call('INCR', 'a')) return redis.call('INCR', 'c')";
    assert.equal(await bed.client.call('EVAL', text, '2', 'a', 'b'), 1);
    assert.ok(bed.runner.rounds > 1, 'keys were found on the way');
    assert.deepEqual(bed.said, ['sum 1']);
    bed.runner.failNext = new OutcomeUnknownError('lost');
    assert.match(String(await bed.client.call('EVAL', text, '2', 'a', 'b')), /UNKNOWN/);
    assert.deepEqual(bed.said, ['sum 1']);
  });
});

describe('what a long read says', () => {
  const thread = new EvaluationThread(new SystemScheduler(), 0);
  after(() => thread.end());

  test('comes back from its thread, in place of what was said before it was stopped', async () => {
    const stage = new Stage();
    const request = stage.command('EVAL_RO', "redis.log(redis.LOG_NOTICE, 'read') return redis.call('GET', 'k')", '0');
    request.afterCommit({ kind: 'log', level: 'notice', text: 'stopped' });
    const evaluation = thread.begin(request, hlcTimestamp(1_700_000_000_000n << 16n))!;
    const missing = await evaluation.evaluate();
    assert.ok(missing.kind === 'missing');
    evaluation.addObjects([missing.keys[0]!]);
    const outcome = await evaluation.evaluate();
    evaluation.end();
    assert.ok(outcome.kind === 'reply');
    request.complete(undefined, outcome.reply as Reply);
    assert.deepEqual(stage.left, ['read', '$-1\r\n']);
  });
});

describe('effects of one request', () => {
  test('are kept up to a bound', () => {
    const effects = new Effects();
    for (let at = 0; at < 65; at++) effects.afterCommit({ kind: 'log', level: 'debug', text: 'x'.repeat(1 << 20) });
    assert.ok(effects.isTooLong);
    assert.equal(effects.all().length, 64);
  });
});
