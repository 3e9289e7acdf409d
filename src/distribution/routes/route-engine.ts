/**
 * The directory as one node sees it: the newest published version and some older ones. Readers take `current` once per
 * request and use that table to the end; a publication is one assignment, so nobody ever sees half of a version.
 */
import { assert } from '../../platform/index.ts';
import type { CatalogIncarnation, CatalogVersion } from '../contract/index.ts';
import { RouteTable } from './route-table.ts';

/** Versions that `at` still knows, unless the owner asks for more. They share their nodes, so this costs little. */
export const DEFAULT_HISTORY_VERSIONS = 32;

/** See the top of the file. */
export class RouteEngine {
  /** Ring of published tables; `count` of them are in use, the newest one before `next`. */
  private readonly ring: (RouteTable | undefined)[];
  private next = 0;
  private table: RouteTable;

  /** @param historyVersions how many versions to keep, at least 32 */
  constructor(incarnation: CatalogIncarnation, historyVersions = DEFAULT_HISTORY_VERSIONS) {
    assert(historyVersions >= DEFAULT_HISTORY_VERSIONS, `keep at least ${DEFAULT_HISTORY_VERSIONS} versions`);
    this.ring = new Array<RouteTable | undefined>(historyVersions).fill(undefined);
    this.table = RouteTable.empty(incarnation);
  }

  /** The newest version; version 0 without routes before the first publication. */
  get current(): RouteTable {
    return this.table;
  }

  /**
   * Makes a table the current one. Older and equal versions of the same incarnation, and everything of an older
   * incarnation, are ignored: sources may race.
   * @returns true when it was newer
   */
  publish(table: RouteTable): boolean {
    const { incarnation, version } = this.table;
    if (table.incarnation < incarnation) return false;
    if (table.incarnation === incarnation && table.version <= version) return false;
    // Versions count anew after a restore: those of another life are not history of this one.
    if (table.incarnation !== incarnation) this.ring.fill(undefined);
    this.ring[this.next] = table;
    this.next = (this.next + 1) % this.ring.length;
    this.table = table;
    return true;
  }

  /** A kept version of the current incarnation, or undefined when it was never published here or is too old. */
  at(version: CatalogVersion): RouteTable | undefined {
    return this.ring.find((table) => table?.version === version);
  }

  /** Versions that `at` answers, ascending. */
  versions(): CatalogVersion[] {
    return this.ring.flatMap((table) => (table === undefined ? [] : [table.version])).sort((a, b) => a - b);
  }
}
