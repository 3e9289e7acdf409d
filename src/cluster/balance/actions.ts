/** How actions of the rules are carried out: by the catalog where this node leads it, and by the leaders of groups. */
import type {
  MembershipAction,
  MergeAction,
  MoveAction,
  RouteTable,
  SplitAction,
  TransferAction,
} from '../../distribution/index.ts';
import {
  type Clock,
  type HlcTimestamp,
  hasCode,
  type Millis,
  type Random,
  type Scheduler,
  sleep,
} from '../../platform/index.ts';
import type {
  AdminBackend,
  AdminErrorCode,
  BalanceOutputs,
  BalanceReport,
  CatalogReply,
  CatalogRequest,
} from '../contract/index.ts';

/** For one request to a group's leader. */
const REQUEST_MS: Millis = 15_000;
/** Between looks at a replica that is being filled. */
const LOOK_MS: Millis = 1_000;
/** A new replica that is not filled by then is given up; it stays a learner, and the next try goes on from there. */
const FILL_MS: Millis = 1_200_000;
const BATCH_ID_BYTES = 16;

export interface BalanceActionsOptions {
  readonly catalog: { run<Request extends CatalogRequest>(request: Request): Promise<CatalogReply<Request>> };
  readonly admin: Pick<AdminBackend, 'transferLeader' | 'addLearner' | 'promote' | 'removeMember' | 'members'>;
  /** As of the catalog's state. */
  readonly routes: () => RouteTable;
  readonly nowTs: () => HlcTimestamp;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly onReport: (report: BalanceReport) => void;
}

/** See the top of the file. Everything is compared and set on what it was planned from, or can be done again. */
export class BalanceActions implements BalanceOutputs {
  private readonly options: BalanceActionsOptions;

  constructor(options: BalanceActionsOptions) {
    this.options = options;
  }

  async split({ routeId, keys }: SplitAction): Promise<void> {
    const { catalog, routes, nowTs, random } = this.options;
    const expectedVersion = routes().version;
    const items = keys.map((splitKey) => ({ routeId, splitKey }));
    const batchId = random.bytes(BATCH_ID_BYTES);
    await catalog.run({ kind: 'batchSplit', expectedVersion, batchId, items, splitAtTs: nowTs() });
  }

  async merge({ leftId, rightId, boundary }: MergeAction): Promise<void> {
    const { catalog, routes } = this.options;
    await catalog.run({ kind: 'merge', expectedVersion: routes().version, leftId, rightId, boundary });
  }

  async move({ routeId, start, dst }: MoveAction): Promise<void> {
    const { catalog, routes } = this.options;
    await catalog.run({ kind: 'createMove', expectedVersion: routes().version, routeId, start, dst });
  }

  async transferLeader({ group, to }: TransferAction): Promise<void> {
    await this.options.admin.transferLeader(group, to, REQUEST_MS);
  }

  async changeMembership(action: MembershipAction): Promise<void> {
    const { admin, clock, scheduler } = this.options;
    const { group, add, remove } = action;
    try {
      await admin.addLearner(group, add, '', REQUEST_MS);
    } catch (error) {
      // An earlier try came as far as making it a voter.
      if (!hasCode<AdminErrorCode>(error, 'NOT_A_LEARNER')) throw error;
    }
    const giveUpMs = clock.monotonicMs() + FILL_MS;
    for (;;) {
      try {
        await admin.promote(group, add, REQUEST_MS);
        break;
      } catch (error) {
        if (!hasCode<AdminErrorCode>(error, 'LEARNER_BEHIND') || clock.monotonicMs() >= giveUpMs) throw error;
        await sleep(scheduler, LOOK_MS);
      }
    }
    const [members] = await admin.members([group], REQUEST_MS);
    // A leader that removes itself leaves its clients to an election.
    if (members?.leader === remove) await admin.transferLeader(group, add, REQUEST_MS);
    await admin.removeMember(group, remove, REQUEST_MS);
  }

  report(report: BalanceReport): void {
    this.options.onReport(report);
  }
}
