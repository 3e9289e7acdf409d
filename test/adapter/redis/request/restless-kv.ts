/**
 * Two nodes over one map whose ranges, leaders and directories change all the time, at moments that a seed decides. Each
 * group evaluates in the order of submission, some turns later; completions come in any order; some refusals come late,
 * when later operations of the same client have been evaluated already.
 */

import { NotOwnerError, RangeBusyError } from '../../../../src/kv/contract/errors.ts';
import type { Operation } from '../../../../src/kv/contract/view.ts';
import type { GroupId, SeededRandom } from '../../../../src/platform/index.ts';
import { NotLeaderError } from '../../../../src/raftengine/errors.ts';
import { FakeKv, FakeState, FakeView, RangeMap, slotKey } from '../../../support/fake-kv.ts';

const SLOTS = 16384;

export interface Restlessness {
  /** Chance that an operation which was evaluated is refused afterwards and leaves no effects. */
  readonly lateRefusals: number;
}

interface Waiting {
  readonly operation: Operation<unknown>;
  readonly group: GroupId;
}

/** A node of a restless cluster. */
export class RestlessKv extends FakeKv {
  private readonly random: SeededRandom;
  private readonly restlessness: Restlessness;
  private readonly waiting = new Map<GroupId, Waiting[]>();
  private readonly completions: (() => void)[] = [];
  /** Refusals that came late. */
  lateRefusals = 0;

  constructor(node: number, state: FakeState, groups: number, random: SeededRandom, restlessness: Restlessness) {
    super({ nodeId: node, state, groups });
    this.random = random;
    this.restlessness = restlessness;
  }

  override submit<Reply>(group: GroupId, operation: Operation<Reply>): void {
    this.submitted++;
    if (this.leaderOf(group) !== this) {
      operation.complete(new NotLeaderError(undefined), undefined);
      return;
    }
    const list = this.waiting.get(group) ?? [];
    this.waiting.set(group, list);
    list.push({ operation: operation as Operation<unknown>, group });
  }

  /** Gives back what waits for groups that this node does not lead any more, all at one moment. */
  resign(): void {
    for (const [group, list] of this.waiting) {
      if (this.leaderOf(group) === this) continue;
      for (const { operation } of list.splice(0)) operation.complete(new NotLeaderError(undefined), undefined);
    }
  }

  /** Evaluates and completes some of what waits. */
  turn(): void {
    for (const list of this.waiting.values()) {
      const count = this.random.int(list.length + 1);
      for (const { operation, group } of list.splice(0, count)) this.evaluate(operation, group);
    }
    const ready = this.completions.splice(0);
    for (const complete of ready) {
      if (this.random.int(3) === 0) this.completions.push(complete);
      else complete();
    }
  }

  private evaluate(operation: Operation<unknown>, group: GroupId): void {
    const fail = (error: Error) => this.completions.push(() => operation.complete(error, undefined));
    const view = new FakeView(this.state, undefined, group);
    let reply: unknown;
    try {
      reply = operation.evaluate(view);
    } catch (error) {
      fail(error as Error);
      return;
    }
    operation.putAway?.();
    if (this.random.next() < this.restlessness.lateRefusals) {
      this.lateRefusals++;
      fail(this.random.int(2) === 0 ? new RangeBusyError('late') : new NotOwnerError(undefined));
      return;
    }
    view.apply();
    this.completions.push(() => operation.complete(undefined, reply));
  }
}

/** Two nodes, and what happens to them. */
export class RestlessCluster {
  readonly state = new FakeState();
  readonly nodes: readonly [RestlessKv, RestlessKv];
  private readonly random: SeededRandom;
  private readonly groups: readonly GroupId[];
  private wildness = 1;
  private isRunning = true;
  private isRestless = true;

  constructor(random: SeededRandom, groups: number, restlessness: Restlessness) {
    this.random = random;
    this.nodes = [
      new RestlessKv(1, this.state, groups, random, restlessness),
      new RestlessKv(2, this.state, groups, random, restlessness),
    ];
    this.groups = this.nodes[0].dataGroups();
    this.state.owners = RangeMap.spread(this.groups);
    for (const group of this.groups) this.lead(group, this.random.int(2));
  }

  /** Lets things happen, turn after turn, until `stop`. */
  run(): void {
    if (!this.isRunning) return;
    // Quiet times and wild ones: many things have to happen during one pipeline, and pipelines have to get through.
    if (this.random.int(20) === 0) this.wildness = this.random.int(4);
    for (let events = this.random.int(this.wildness + 1); this.isRestless && events > 0; events--) this.happen();
    for (const node of this.nodes) node.turn();
    setImmediate(() => this.run());
  }

  /** From now on everything is where it is, and everybody knows it. */
  calm(): void {
    this.isRestless = false;
    this.state.fenced = undefined;
    for (const node of this.nodes) node.learn();
  }

  stop(): void {
    this.isRunning = false;
  }

  private lead(group: GroupId, position: number): void {
    for (const node of this.nodes) node.leaders.set(group, this.nodes[position]!);
    for (const node of this.nodes) node.resign();
  }

  private happen(): void {
    const { random, state } = this;
    const from = random.int(SLOTS);
    const to = Math.min(SLOTS, from + 1 + random.int(SLOTS / 2));
    const group = this.groups[random.int(this.groups.length)]!;
    switch (random.int(8)) {
      case 0:
      case 1:
      case 2:
        state.owners!.assign(slotKey(from), slotKey(to), group);
        break;
      case 3:
        state.fenced = state.fenced === undefined ? [from, to] : undefined;
        break;
      case 4:
        state.givesHints = random.int(2) === 0;
        break;
      case 5:
        this.lead(group, random.int(2));
        break;
      default:
        this.nodes[random.int(2)]!.learn();
    }
  }
}
