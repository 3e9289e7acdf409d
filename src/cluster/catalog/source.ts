/** The catalog as the node that leads its group has it in memory, for those who serve it to others. */
import type { CatalogState, CatalogVersion } from '../../distribution/index.ts';
import type { Term } from '../../platform/index.ts';

/** What whoever streams the catalog to watchers needs of its leader. */
export interface CatalogSource {
  /**
   * The catalog as of the last commit; undefined while this node does not lead the catalog group or is still loading the
   * rows. Without `meta` there is a leader but no catalog yet. Each change is another object.
   */
  readonly state: CatalogState | undefined;
  /** Term in which this node leads the catalog group, or last did; 0 before the first time. */
  readonly leaderTerm: Term;
  /**
   * Hears of every change of `state`, also of its coming and going. The listener must not throw.
   * @returns ends the listening
   */
  onChange(listener: () => void): () => void;
  /**
   * Whoever serves watchers says here how to find the version that the slowest of them has, undefined when there is none. The
   * change log is kept from there on, within its limits. Asked with every commit.
   */
  trackSlowestCursor(slowest: () => CatalogVersion | undefined): void;
}
