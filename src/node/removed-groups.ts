/**
 * Groups that were removed from the cluster and do not come back: what is stored of one goes away, and a configured one
 * leaves a note. Without that a start would found it again, as the configuration says, over whatever a removal that was cut off
 * has left.
 */
import { dirname } from 'node:path';
import type { Disk, GroupId, NodeId } from '../platform/index.ts';
import { type LevelFolders, removeGroupStore } from '../store/index.ts';

/** Where stores are, and how to reach them. */
export interface RemovedGroupsOptions {
  readonly locationOf: (group: GroupId) => string;
  readonly folders: LevelFolders;
  readonly disk: Disk;
}

/** A group that the configuration founds. */
interface Configured {
  readonly id: GroupId;
  readonly voters: readonly NodeId[];
}

/** See the top of the file. */
export class RemovedGroups<Group extends Configured> {
  private readonly configured: readonly Group[];
  private readonly options: RemovedGroupsOptions;

  constructor(configured: readonly Group[], options: RemovedGroupsOptions) {
    this.configured = configured;
    this.options = options;
  }

  /** The removal begins: from here on no start founds the group again. Before anything of it goes. */
  async note(group: GroupId): Promise<void> {
    if (!this.configured.some(({ id }) => id === group)) return;
    const { disk } = this.options;
    const path = this.noteOf(group);
    const note = await disk.open(path, { create: true });
    await note.close();
    await disk.syncFolder(dirname(path));
  }

  /** Deletes a store that is closed, or was never opened. */
  async remove(group: GroupId): Promise<void> {
    const { locationOf, folders, disk } = this.options;
    await removeGroupStore(locationOf(group), folders, disk);
  }

  /** Configured groups that this node is a founder of, as long as they were not removed. */
  async toBeFounded(self: NodeId): Promise<Group[]> {
    const own = this.configured.filter(({ voters }) => voters.includes(self));
    const isNoted = await Promise.all(own.map(({ id }) => this.hasNote(id)));
    return own.filter((_, at) => isNoted[at] === false);
  }

  private async hasNote(group: GroupId): Promise<boolean> {
    try {
      const note = await this.options.disk.open(this.noteOf(group));
      await note.close();
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw error;
    }
  }

  private noteOf(group: GroupId): string {
    return `${this.options.locationOf(group)}.removed`;
  }
}
