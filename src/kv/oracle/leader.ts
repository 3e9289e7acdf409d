/**
 * The oracle where its group is led: timestamps from the group's own clock, given out only by whom the group's replicated
 * authority names, and only while this node is known to lead at the time of the answer. An oracle that was replaced while it
 * slept finds its lease gone and its quorum silent, however much of its window is left.
 *
 * It answers for every group that is led here, since each may be the oracle, and each takes part in changing it.
 */
import { assertNever, type GroupId } from '../../platform/index.ts';
import { NotLeaderError, TooLargeError } from '../../raftengine/index.ts';
import type { KvService } from '../contract/index.ts';
import type { GroupExecutor } from '../leader/index.ts';
import { type FenceCommand, type FenceReply, MAX_TAKE } from '../time/index.ts';
import {
  decodeOracleMessage,
  encodeGrant,
  encodeOracleStatus,
  type Grant,
  ORACLE_SERVICE,
  type OracleMessage,
  type OracleStatus,
} from './codec.ts';

/** What the oracle needs of a group's leader. */
export type OracleGroup = Pick<GroupExecutor, 'isServing' | 'authority' | 'clock' | 'draw' | 'fence' | 'timeState'>;

type GetMessage = OracleMessage & { readonly kind: 'get' };

/** See the top of the file. */
export class OracleLeader {
  private readonly groupHere: (group: GroupId) => OracleGroup | undefined;

  /** @param groupHere the group's executor, undefined when this node has no replica */
  constructor(groupHere: (group: GroupId) => OracleGroup | undefined) {
    this.groupHere = groupHere;
  }

  /** True when the group can be asked here, without a message. A hint. */
  leads(group: GroupId): boolean {
    return this.groupHere(group)?.isServing === true;
  }

  private group(group: GroupId): OracleGroup {
    const here = this.groupHere(group);
    if (here?.isServing !== true) throw new NotLeaderError(undefined);
    return here;
  }

  /**
   * `count` consecutive timestamps above `after`; before this returns when the node holds a lease.
   * @param done gets NotLeaderError, CeilingExpiredError, or TimestampAheadError when `after` leads the wall clock here too far
   */
  get(message: GetMessage, done: (error: Error | undefined, grant?: Grant) => void): void {
    const { group, count, after, isShadow } = message;
    try {
      if (count < 1 || count > MAX_TAKE)
        throw new TooLargeError(`an oracle grants 1 to ${MAX_TAKE} timestamps at once`);
      const executor = this.group(group);
      const { authority, clock } = executor;
      const isOracle = authority.mode !== 'local' && authority.oracle === group && authority.isOpen;
      if (!isShadow && !isOracle) {
        done(undefined, { kind: 'refused', authority });
        return;
      }
      // The floor that it was opened with is part of its state, whatever has become of this node's own clock.
      clock.observe(executor.timeState().maxTs);
      clock.observeForeign(after);
      executor.draw(count, (error, last) => {
        if (error !== undefined || last === undefined) done(error);
        // Fenced meanwhile: what was drawn may lie above what the fence said.
        else if (executor.authority !== authority) done(undefined, { kind: 'refused', authority: executor.authority });
        else done(undefined, { kind: 'granted', last, epoch: authority.epoch });
      });
    } catch (error) {
      done(error as Error);
    }
  }

  /** Where a group stands. @throws NotLeaderError */
  status(group: GroupId): OracleStatus {
    const executor = this.group(group);
    return this.describe(executor, executor.timeState());
  }

  /** One step of a change of the authority, through the group's log. @throws NotLeaderError, TimestampAheadError */
  async fence(group: GroupId, command: FenceCommand): Promise<OracleStatus> {
    const executor = this.group(group);
    if (command.kind === 'open') executor.clock.observeForeign(command.floor, executor.clock.maxLeadMs);
    return this.describe(executor, await executor.fence(command));
  }

  private describe(executor: OracleGroup, reply: FenceReply): OracleStatus {
    const { clock } = executor;
    return { ...reply, boundMs: clock.bound, leadMs: clock.leadMs };
  }
}

/** Starts to answer for this node's groups. */
export function serveOracle(kv: Pick<KvService, 'onForward'>, leader: OracleLeader): void {
  kv.onForward(ORACLE_SERVICE, (payload, answer) => {
    const message = decodeOracleMessage(payload);
    const granted = (error: Error | undefined, grant?: Grant): void =>
      answer(error, grant === undefined ? undefined : encodeGrant(grant));
    switch (message.kind) {
      case 'get':
        leader.get(message, granted);
        break;
      case 'status':
        answer(undefined, encodeOracleStatus(leader.status(message.group)));
        break;
      case 'fence':
        leader.fence(message.group, message.command).then(
          (status) => answer(undefined, encodeOracleStatus(status)),
          (error: Error) => answer(error, undefined),
        );
        break;
      default:
        assertNever(message);
    }
  });
}
