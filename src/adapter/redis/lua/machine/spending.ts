/** Work that no instruction stands for; what it costs in instructions goes by the time that it takes. */

/** Counts work, and ends the script that has done too much. @param state the thread that works */
export type Spend = (state: number, instructions: number) => void;
