/** The CPU time of this process's children, from the kernel. */

const STAT = "/proc/self/stat";
/** Linux counts in hundredths of a second (`getconf CLK_TCK`). */
const TICKS_PER_SECOND = 100;

/**
 * Counts children that have ended, with all their own children that they waited for. Only Linux tells; elsewhere it is
 * undefined.
 */
export class ChildCpu {
  #counted = 0;

  /** Seconds, user and system, of all of them. */
  total(): number | undefined {
    try {
      return childSeconds(Deno.readTextFileSync(STAT));
    } catch {
      return undefined;
    }
  }

  /** Seconds of those that have ended since the last call. If two have, the CPU time of both. */
  sinceLast(): number | undefined {
    const total = this.total();
    if (total === undefined) return undefined;
    const since = total - this.#counted;
    this.#counted = total;
    return since;
  }
}

/** `cutime` and `cstime` in a text of `/proc/<pid>/stat` (proc_pid_stat(5)). The name before them may have any character. */
export function childSeconds(stat: string): number | undefined {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[13]) + Number(fields[14]);
  return Number.isNaN(ticks) ? undefined : ticks / TICKS_PER_SECOND;
}
