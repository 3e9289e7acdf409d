/** Pages read one behind the other, a few ahead of whoever uses them, so that reading and importing go on side by side. */

/** A page that says where the one behind it begins; undefined at the end. */
export interface Chained<Place> {
  readonly next: Place | undefined;
}

/** See the head of the file. What was read ahead and is not wanted any more is simply let go of. */
export class ReadAhead<Place, Page extends Chained<Place>> {
  private readonly read: (place: Place) => Promise<Page>;
  private readonly depth: number;
  /** The next page first; each is read when the one before it is there. Undefined behind the last one. */
  private readonly pages: Promise<Page | undefined>[] = [];
  private last: Promise<Page | undefined>;

  /** @param depth pages that are held at most */
  constructor(first: Place, depth: number, read: (place: Place) => Promise<Page>) {
    this.read = read;
    this.depth = depth;
    this.last = this.keep(read(first));
    this.fill();
  }

  private keep(page: Promise<Page | undefined>): Promise<Page | undefined> {
    // Whoever takes the page hears of it; one that nobody takes is nobody's error.
    page.catch(() => undefined);
    this.pages.push(page);
    return page;
  }

  private fill(): void {
    while (this.pages.length < this.depth) {
      const following = this.last.then((page) => (page?.next === undefined ? undefined : this.read(page.next)));
      this.last = this.keep(following);
    }
  }

  /** The next page; undefined behind the last one. Fails with what reading it, or one before it, failed with. */
  next(): Promise<Page | undefined> {
    const page = this.pages.shift()!;
    this.fill();
    return page;
  }
}
