const PAUSE = 2; // seconds
const LONGEST_PAUSE = 60;

/** Makes Better Auth's tables, where they are missing, whenever the server starts: its command line needs Node 22. */
export async function register() {
  if (process.env.NEXT_RUNTIME !== "nodejs") return;
  const { getMigrations } = await import("better-auth/db/migration");
  const { auth } = await import("@/lib/auth");
  for (let pause = PAUSE; ; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
    try {
      const { runMigrations } = await getMigrations(auth.options);
      return await runMigrations();
    } catch (error) {
      // Also where another server makes them at the same time.
      console.error(`Better Auth's tables can't be made in DATABASE_URL, and again in ${pause} s: ${error}`);
      await new Promise((resolve) => setTimeout(resolve, 1000 * pause));
    }
  }
}
