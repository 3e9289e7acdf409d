/** Operations of DynamoDB on simulated nodes, without the wire. */
import assert from 'node:assert/strict';
import { DynamoError } from '../../../src/adapter/dynamodb/errors/index.ts';
import { createTablesAndItems, type TablesAndItems } from '../../../src/adapter/dynamodb/items/index.ts';
import {
  type AnyOperation,
  EncodedOutput,
  type RequestContext,
} from '../../../src/adapter/dynamodb/operation/index.ts';
import { statementOperations } from '../../../src/adapter/dynamodb/statements/index.ts';
import { streamOperations } from '../../../src/adapter/dynamodb/streams/index.ts';
import type { TableDescriptor } from '../../../src/adapter/dynamodb/tables/index.ts';
import { TableUpkeep } from '../../../src/adapter/dynamodb/upkeep/index.ts';
import type { GroupsSetting } from '../../../src/config/index.ts';
import { ConsistentReads, KvCluster, serveKeys } from '../../../src/kv/index.ts';
import { SimulatedNodes } from '../../support/simulated-nodes.ts';

const TIMEOUT_MS = 30_000;

/** One node's end. */
interface DynamoNode extends TablesAndItems {
  readonly byName: ReadonlyMap<string, AnyOperation>;
  readonly deadlineMs: () => number;
  readonly nowMs: () => number;
}

type Answer = Record<string, unknown>;

export class DynamoNodes {
  readonly cluster: SimulatedNodes;
  readonly ends: DynamoNode[] = [];
  readonly problems: unknown[] = [];
  private tables = 0;

  constructor(count: number, groups: GroupsSetting, seed = 7) {
    this.cluster = new SimulatedNodes(count, groups, seed);
  }

  /** Starts the nodes, and the adapter on each. */
  async start(): Promise<void> {
    this.cluster.start();
    await this.cluster.ready();
    await this.cluster.active('dynamodb');
    for (const { id } of this.cluster.nodes) this.ends.push(this.end(id));
  }

  private end(id: number): DynamoNode {
    const { kv, transactions, reads } = this.cluster.running(id);
    const { clock, scheduler, random } = this.cluster.node(id).machine;
    serveKeys(kv);
    const cluster = new KvCluster({ kv, clock, scheduler, random });
    const all = createTablesAndItems({
      ...{ kv, cluster, transactions, clock, scheduler, random },
      reads: new ConsistentReads(reads, cluster, random),
      isActive: () => true,
      onBackgroundError: (error: unknown) => this.problems.push(error),
      newTableId: () => `00000000-0000-4000-8000-${String(++this.tables).padStart(12, '0')}`,
    });
    all.start();
    new TableUpkeep(all.store, all.catalog).start();
    const operations = [
      ...all.operations,
      ...streamOperations({ cluster, clock, directory: all.directory }),
      ...statementOperations(all.store),
    ];
    return {
      ...all,
      byName: new Map(operations.map((operation) => [operation.name, operation])),
      deadlineMs: () => clock.monotonicMs() + TIMEOUT_MS,
      nowMs: () => clock.nowMs(),
    };
  }

  /** Asks a node for something. */
  ask(node: number, name: string, input: object, invocation?: RequestContext['invocation']): Promise<Answer> {
    const end = this.ends[node - 1]!;
    const context: RequestContext = {
      region: 'eu-west-1',
      accountId: '000000000000',
      host: 'localhost:8000',
      nowMs: end.nowMs(),
      deadlineMs: end.deadlineMs(),
      signal: new AbortController().signal,
      invocation,
    };
    const operation = end.byName.get(name);
    assert.ok(operation !== undefined, name);
    // A wrong request is refused at once, in the promise.
    const answer = async (): Promise<Answer> => {
      const output = await operation.prepare(input).run(context);
      return (output instanceof EncodedOutput ? JSON.parse(output.json.toString()) : output) as Answer;
    };
    return answer();
  }

  /** The same, waited for in simulated time. */
  run(node: number, name: string, input: object): Promise<Answer> {
    return this.cluster.run(this.ask(node, name, input));
  }

  /** What a request is refused with. */
  async refusal(
    node: number,
    name: string,
    input: object,
  ): Promise<{ readonly type: string; readonly message: string }> {
    try {
      const answer = await this.run(node, name, input);
      assert.fail(`${name} was done: ${JSON.stringify(answer)}`);
    } catch (error) {
      assert.ok(error instanceof DynamoError, String(error));
      return { type: error.type, message: error.message };
    }
  }

  /** Waits until a table is as it should be. */
  async until(node: number, name: string, isSo: (table: TableDescriptor | undefined) => boolean): Promise<void> {
    const { directory, deadlineMs } = this.ends[node - 1]!;
    for (let tries = 0; tries < 200; tries++) {
      if (isSo(await this.cluster.run(directory.renew(name, deadlineMs())))) return;
      await this.cluster.simulation.runFor(100);
    }
    assert.fail(`the table ${name} did not become what it should be: ${this.problems.map(String).join('; ')}`);
  }
}
