/** What a projection leaves of an item. */
import type { Item } from '../values/index.ts';
import { type PathTree, partAt, treeOf } from './paths.ts';
import type { Projection } from './tree.ts';

/** Made once for all items of a page. */
export class ProjectedItems {
  private readonly tree: PathTree<true>;
  /** Names of the attributes that the projection looks at. */
  readonly names: ReadonlySet<string>;

  constructor({ paths }: Projection) {
    this.tree = treeOf(paths.map((path) => [path, true]));
    this.names = new Set(this.tree.children.keys() as Iterable<string>);
  }

  /** The parts of an item that are there, maps and lists around them without what was not asked for. */
  of(item: Item): Item {
    return partAt(item, this.tree);
  }
}
