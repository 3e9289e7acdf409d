/**
 * Changes the authority over timestamps when the setting `tso.group` says so; runs where the catalog is led. Everything that
 * must outlast a leader is in the groups: whoever leads next looks at them and goes on. The epoch of a change is the
 * revision of the cluster state that asked for it, so two leaders that know different settings never use one epoch for
 * two authorities, and the one that knows less loses.
 *
 * In between, groups that were fenced take nothing of the old authority, and nobody grants for the new one until every group
 * has been fenced: a group without a leader holds a change up, and with it what spans groups. Everything else goes on.
 */
import { type CatalogState, settingOf } from '../../distribution/index.ts';
import {
  type Authority,
  type AuthorityMode,
  type FenceCommand,
  type OracleChannel,
  type OracleStatus,
  reachedTs,
} from '../../kv/index.ts';
import {
  type Cancel,
  type GroupId,
  groupId,
  type HlcTimestamp,
  type Millis,
  type Scheduler,
} from '../../platform/index.ts';
import type { CatalogSource } from '../catalog/index.ts';

export interface AuthoritySwitchOptions {
  readonly source: CatalogSource;
  readonly channel: Pick<OracleChannel, 'status' | 'fence'>;
  readonly scheduler: Scheduler;
  /** Hears of steps that failed; they are repeated. */
  readonly onError: (error: unknown) => void;
}

/** Between attempts at a change that is not complete. */
const RETRY_MS: Millis = 500;
/** What is settled is looked at again: steps of an earlier leader may have been under way. */
const RECHECK_MS: Millis = 10_000;

/** See the top of the file. */
export class AuthoritySwitch {
  private readonly options: AuthoritySwitchOptions;
  private cancel: Cancel | undefined;
  private stopListening: (() => void) | undefined;
  private running: Promise<void> | undefined;
  /** The cluster state was changed while a round was under way. */
  private isStale = false;
  private isStopped = false;
  /** Revision of the cluster state that was found carried out. */
  private settledRevision = -1;

  constructor(options: AuthoritySwitchOptions) {
    this.options = options;
  }

  start(): void {
    this.stopListening = this.options.source.onChange(() => this.wake());
    this.wake();
  }

  /** Settles when nothing is under way. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.cancel?.();
    this.stopListening?.();
    await this.running;
  }

  private wake(): void {
    const revision = this.options.source.state?.meta?.documentRevision;
    if (this.isStopped || revision === undefined || revision === this.settledRevision) return;
    this.isStale = true;
    if (this.running !== undefined) return;
    this.cancel?.();
    this.running = this.run();
  }

  private async run(): Promise<void> {
    let isSettled = false;
    while (this.isStale && !this.isStopped) {
      this.isStale = false;
      isSettled = await this.round();
    }
    this.running = undefined;
    if (this.isStopped) return;
    this.cancel = this.options.scheduler.after(isSettled ? RECHECK_MS : RETRY_MS, () => {
      this.settledRevision = -1;
      this.wake();
    });
  }

  private async round(): Promise<boolean> {
    const { source, onError } = this.options;
    const { state } = source;
    if (state?.meta === undefined) return true;
    try {
      const isSettled = await carryOut(state, state.meta.documentRevision, this.options.channel);
      if (isSettled) this.settledRevision = state.meta.documentRevision;
      return isSettled;
    } catch (error) {
      onError(error);
      return false;
    }
  }
}

/** The group that the setting names and what that makes it; undefined while there is no such group. */
function wanted(state: CatalogState): { readonly mode: AuthorityMode; readonly oracle: GroupId } | undefined {
  const oracle = groupId(Number(settingOf({ settings: [...state.settings.values()] }, 'tso.group')));
  if (oracle === 0) return { mode: 'local', oracle };
  if (state.groups.get(oracle)?.state !== 'ACTIVE') return undefined;
  const ownsNothing = state.routes.ofGroup(oracle).next().done === true;
  return { mode: ownsNothing ? 'tso' : 'bridge', oracle };
}

/**
 * One attempt at bringing every group to the authority that the cluster state asks for.
 * @returns whether all of them are there and the oracle is open
 */
export async function carryOut(
  state: CatalogState,
  documentRevision: number,
  channel: Pick<OracleChannel, 'status' | 'fence'>,
): Promise<boolean> {
  const target = wanted(state);
  if (target === undefined) return true;
  const groups = [...state.groups.values()].filter((row) => row.state === 'ACTIVE').map((row) => row.id);
  const stands = new Map<GroupId, OracleStatus>();
  await Promise.all(groups.map(async (group) => stands.set(group, await channel.status(group))));
  const newest = [...stands.values()].map(({ authority }) => authority).reduce(newer);
  const isGoingOn = newest.oracle === target.oracle;
  // A leader that knows an older cluster state than the groups have heard of is one that was replaced.
  if (!isGoingOn && documentRevision <= newest.epoch) return false;
  const { mode, oracle, epoch } = isGoingOn ? newest : { ...target, epoch: documentRevision };

  const behind = groups.filter((group) => stands.get(group)!.authority.epoch < epoch);
  const fence: FenceCommand = { kind: 'fence', mode, epoch, oracle };
  await Promise.all(behind.map(async (group) => stands.set(group, await channel.fence(group, fence))));
  for (const { isDone, authority } of stands.values()) if (!isDone || authority.epoch !== epoch) return false;

  // Without an oracle every group is one for itself, and goes on above what the last one said.
  const opened = mode === 'local' ? groups : [oracle];
  if (behind.length === 0 && opened.every((group) => stands.get(group)!.authority.isOpen)) return true;
  let floor: HlcTimestamp = reachedTs(stands.get(groups[0]!)!);
  for (const stand of stands.values()) if (reachedTs(stand) > floor) floor = reachedTs(stand);
  const open: FenceCommand = { kind: 'open', epoch, floor };
  const answers = await Promise.all(opened.map((group) => channel.fence(group, open)));
  return answers.every(({ isDone }) => isDone);
}

const newer = (a: Authority, b: Authority): Authority => (b.epoch > a.epoch ? b : a);
