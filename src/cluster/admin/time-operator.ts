/** How each group stands in time: under which authority, how far it has come, and how far it may go. */
import { type ClusterState, settingOf } from '../../distribution/index.ts';
import { clockAt, type OracleStatus } from '../../kv/index.ts';
import { type GroupId, type Millis, physicalMs } from '../../platform/index.ts';
import type { GroupTime, TsoReport } from '../contract/index.ts';

/**
 * @param statusOf asks a group's leader
 * @param nowMs the time that this node goes by
 */
export async function timeReport(
  clusterState: ClusterState,
  groups: readonly GroupId[],
  statusOf: (group: GroupId) => Promise<OracleStatus>,
  nowMs: () => Millis,
): Promise<TsoReport> {
  const rows = await Promise.all(
    groups.map(async (groupId): Promise<GroupTime> => {
      try {
        const { authority, maxTs, ceilingMs, boundMs, leadMs } = await statusOf(groupId);
        const { mode, epoch, oracle, isOpen } = authority;
        const newestMs = maxTs === 0n ? 0 : physicalMs(maxTs);
        return { groupId, problem: '', mode, epoch, oracle, isOpen, newestMs, ceilingMs, boundMs, leadMs };
      } catch (error) {
        const problem = error instanceof Error ? error.message : String(error);
        const nothing = {
          mode: '',
          epoch: 0,
          oracle: 0,
          isOpen: false,
          newestMs: 0,
          ceilingMs: 0,
          boundMs: 0,
          leadMs: 0,
        };
        return { groupId, problem, ...nothing };
      }
    }),
  );
  const timeMs = nowMs();
  const clockMs = clockAt(timeMs, Number(settingOf(clusterState, 'time.caughtUpAt')));
  return {
    clockMs,
    acceptedLeadMs: timeMs - clockMs,
    wantedGroup: Number(settingOf(clusterState, 'tso.group')),
    shadowGroup: Number(settingOf(clusterState, 'tso.shadow')),
    groups: rows,
  };
}
