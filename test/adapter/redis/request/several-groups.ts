/** A Redis server over several groups: what spans them runs over values that are brought a round at a time, as the real coordinator does it. */
import assert from 'node:assert/strict';
import { afterEach } from 'node:test';
import { type BodyLimits, DEFAULT_BODY_LIMITS } from '../../../../src/adapter/redis/bodies/index.ts';
import type { CrossGroupRunner } from '../../../../src/adapter/redis/state/server-state.ts';
import type { KvTransaction } from '../../../../src/kv/contract/transactions.ts';
import type { KeyView, LiveValue } from '../../../../src/kv/contract/view.ts';
import type { RunRequest } from '../../../../src/kv/txn/transaction-runner.ts';
import { BufferedView } from '../../../../src/kv/txn/transaction-view.ts';
import { FakeKv, FakeState, FakeView, momentOf } from '../../../support/fake-kv.ts';
import { type RawClient, startTestServer, type TestServer, type TestServerOptions } from '../harness.ts';

/** As many as the real one takes. */
const MAX_ROUNDS = 256;

/** Runs a body over the state that all groups of a fake share, at one moment, when it is told to. */
export class BufferedRunner implements CrossGroupRunner {
  readonly requests: RunRequest[] = [];
  /** Rounds of reading that the last run took. */
  rounds = 0;
  /** When set, nothing runs before `release`. */
  holding = false;
  failNext: Error | undefined;
  private readonly state: FakeState;
  private held: (() => void)[] = [];

  constructor(state: FakeState) {
    this.state = state;
  }

  checkKeys(): void {
    // As many as a test has.
  }

  async run<Reply>(runRequest: RunRequest, body: (view: KeyView) => Reply) {
    this.requests.push(runRequest);
    if (this.holding) await new Promise<void>((resolve) => this.held.push(resolve));
    const failure = this.failNext;
    this.failNext = undefined;
    if (failure !== undefined) throw failure;
    const target = new FakeView(this.state);
    const known = new Map<string, LiveValue | undefined>();
    const read = (keys: readonly Buffer[]): void => {
      for (const key of keys) known.set(key.toString('latin1'), target.get(key));
    };
    read(runRequest.keys);
    for (this.rounds = 1; ; this.rounds++) {
      assert.ok(this.rounds <= MAX_ROUNDS, 'a run is over after some rounds of reading');
      const view = new BufferedView(target.ts, known);
      let reply: Reply | undefined;
      try {
        reply = body(view);
      } catch (error) {
        if (view.missing === undefined) throw error;
      }
      if (view.missing !== undefined) {
        read(view.missing);
        continue;
      }
      for (const { key, kind, value, expireTs } of view.intents()) {
        if (kind === 'put') target.put(key, value, expireTs);
        else if (kind === 'delete') target.delete(key);
      }
      target.apply();
      return { reply, commitTs: target.ts, seenTs: target.ts };
    }
  }

  async begin(): Promise<KvTransaction> {
    return momentOf(this.state);
  }

  release(): void {
    this.holding = false;
    for (const resume of this.held.splice(0)) resume();
  }
}

export interface CrossGroupServer {
  readonly kv: FakeKv;
  readonly runner: BufferedRunner;
  readonly client: RawClient;
  /** Another client. */
  connect(): Promise<RawClient>;
  /** What scripts have said. */
  readonly said: readonly string[];
}

export interface CrossGroupOptions {
  /** Three by default. */
  readonly groups?: number;
  /** Clients follow redirects. */
  readonly redirects?: boolean;
  readonly bodyLimits?: BodyLimits;
  /** Default: the system's. */
  readonly time?: TestServerOptions['time'];
}

/** Starts servers, each with a client of its own, which stop after the test. */
export function crossGroupServers(): (options?: CrossGroupOptions) => Promise<CrossGroupServer> {
  const servers: TestServer[] = [];
  afterEach(async () => {
    for (const server of servers.splice(0)) await server.stop();
  });
  return async (options = {}) => {
    const state = new FakeState();
    const kv = new FakeKv({ groups: options.groups ?? 3, state });
    const runner = new BufferedRunner(state);
    const said: string[] = [];
    const hear = (fields: object): void => {
      if ('script' in fields) said.push(String(fields.script));
    };
    const server = await startTestServer({
      kv,
      transactions: runner,
      config: { clusterRedirects: options.redirects ?? false },
      bodyLimits: options.bodyLimits ?? DEFAULT_BODY_LIMITS,
      time: options.time,
      logger: { info: hear, warn: hear, error: () => {} },
    });
    servers.push(server);
    return { kv, runner, said, client: await server.connect(), connect: () => server.connect() };
  };
}
