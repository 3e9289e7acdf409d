/** What a connection asks of one group, while its writes wait for their round. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DEFAULT_ENCODINGS } from '../../../../src/adapter/redis/bodies/index.ts';
import { CommandTable } from '../../../../src/adapter/redis/command/command-table.ts';
import { ALL_COMMANDS } from '../../../../src/adapter/redis/commands/index.ts';
import { GroupPipeline, type GroupPipelineEnvironment } from '../../../../src/adapter/redis/request/group-pipeline.ts';
import { CommandRequest, type GroupRequest } from '../../../../src/adapter/redis/request/group-request.ts';
import type { WriteRounds } from '../../../../src/adapter/redis/state/index.ts';
import { NotOwnerError } from '../../../../src/kv/contract/errors.ts';
import type { KvService } from '../../../../src/kv/index.ts';
import { groupId, SeededRandom, SystemClock } from '../../../../src/platform/index.ts';

const GROUP = groupId(2);
const table = new CommandTable(ALL_COMMANDS);
const settings = { random: new SeededRandom(1), maxStringBytes: 1024, encodings: DEFAULT_ENCODINGS };

/** A pipeline whose surroundings a test decides. */
class Surroundings {
  isServing = true;
  /** Writes leave at once. */
  admits = false;
  /** What the executor answers at once; undefined: it keeps what it gets. */
  refusal: Error | undefined;
  readonly submitted: GroupRequest[] = [];
  forwards = 0;
  drained: readonly GroupRequest[] = [];
  /** Members that have writes under way, by what was told of them. */
  underWay = 0;
  readonly pipeline: GroupPipeline;
  private requests = 0;

  constructor() {
    const rounds: Pick<WriteRounds, 'admits' | 'left' | 'answered'> = {
      admits: () => this.admits,
      left: () => {
        this.underWay++;
        return { leftAtMs: 0, members: 0, groups: new Set(), unanswered: 0 };
      },
      answered: () => {
        this.underWay--;
      },
    };
    const kv = {
      servesLocally: () => this.isServing,
      submit: (_group: unknown, request: GroupRequest) => {
        this.submitted.push(request);
        if (this.refusal !== undefined) request.complete(this.refusal, undefined);
      },
      forward: () => {
        this.forwards++;
      },
    };
    const environment: GroupPipelineEnvironment = {
      kv: kv as unknown as KvService,
      clock: new SystemClock(),
      commandTimeoutMs: 1000,
      points: undefined,
      newChains: () => undefined,
      rounds: rounds as WriteRounds,
    };
    this.pipeline = new GroupPipeline(GROUP, environment, {
      requestSettled: () => {},
      groupStalled: () => {},
      groupDrained: (requests) => {
        this.drained = requests;
      },
    });
  }

  ask(...words: string[]): GroupRequest {
    const args = words.map((word) => Buffer.from(word));
    const { spec } = table.find(args[0]!)!;
    const token = ++this.requests;
    const request = new CommandRequest({ spec, args, db: 0, resp: 2, settings, owner: this.pipeline, token });
    request.order = token;
    this.pipeline.submit(request);
    return request;
  }
}

const settling = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a write that waits for its round', () => {
  test('has behind it what its connection asks the group meanwhile, and leaves with that', async () => {
    for (const isServing of [true, false]) {
      const around = new Surroundings();
      around.isServing = isServing;
      const asked = [around.ask('SET', 'a', '1'), around.ask('GET', 'a'), around.ask('SET', 'b', '1')];
      await settling();
      assert.deepEqual([around.submitted.length, around.forwards, around.underWay], [0, 0, 0]);
      around.pipeline.leave();
      assert.deepEqual(around.submitted, isServing ? asked : []);
      assert.deepEqual([around.forwards, around.underWay], [isServing ? 0 : 1, 1]);
      for (const request of around.submitted) request.complete(undefined, null);
      assert.equal(around.underWay, isServing ? 0 : 1);
    }
  });

  test('is not run when the one before it has just been refused', () => {
    const around = new Surroundings();
    const asked = ['1', '2', '3'].map((value) => around.ask('SET', 'a', value));
    around.refusal = new NotOwnerError(undefined);
    around.pipeline.leave();
    assert.deepEqual(around.submitted, asked.slice(0, 1));
    assert.deepEqual(around.drained, asked);
    assert.equal(around.underWay, 0);
  });

  test('is not forwarded before it is known what became of those that this node runs', async () => {
    const around = new Surroundings();
    around.admits = true;
    const first = around.ask('SET', 'a', '1');
    around.admits = false;
    around.ask('SET', 'a', '2');
    around.isServing = false;
    around.pipeline.leave();
    await settling();
    assert.equal(around.forwards, 0);
    around.admits = true;
    first.complete(undefined, null);
    await settling();
    assert.equal(around.forwards, 1);
  });
});
