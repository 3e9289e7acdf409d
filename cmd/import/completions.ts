/** Entries that are kept behind the first open one. */
const SPENT = 1024;

/** Says up to where all is done of work that ends in any order. */
export class Completions {
  private readonly open: { readonly position: number; isDone: boolean }[] = [];
  private first = 0;
  private readonly onPosition: (position: number) => void;

  /** @param onPosition is told the position of the last piece of work before which, itself included, all is done */
  constructor(onPosition: (position: number) => void) {
    this.onPosition = onPosition;
  }

  /** Notes work; positions ascend. @returns what is to be called when it is done */
  begin(position: number): () => void {
    const work = { position, isDone: false };
    this.open.push(work);
    return () => {
      work.isDone = true;
      let reached: number | undefined;
      while (this.open[this.first]?.isDone === true) reached = this.open[this.first++]!.position;
      if (this.first > SPENT) {
        this.open.splice(0, this.first);
        this.first = 0;
      }
      if (reached !== undefined) this.onPosition(reached);
    };
  }
}
