import java.io.PrintStream;
import org.junit.runner.Description;
import org.junit.runner.JUnitCore;
import org.junit.runner.notification.Failure;
import org.junit.runner.notification.RunListener;

/** Runs classes of tests of JUnit 4 and prints a line for each test's verdict: what the suites in Java are read by. */
public class Verdicts extends RunListener {
    private final PrintStream out;
    private boolean failed;
    private boolean skipped;

    Verdicts(PrintStream out) {
        this.out = out;
    }

    public static void main(String[] names) throws Exception {
        JUnitCore core = new JUnitCore();
        core.addListener(new Verdicts(System.out));
        for (String name : names) {
            core.run(Class.forName(name));
        }
        // Threads of what was tried may go on for ever.
        System.exit(0);
    }

    @Override
    public void testStarted(Description test) {
        failed = skipped = false;
        tell("BEGUN", test);
    }

    @Override
    public void testFailure(Failure failure) {
        failed = true;
        tell("FAIL", failure.getDescription());
        out.println(failure.getTrace());
    }

    @Override
    public void testAssumptionFailure(Failure failure) {
        skipped = true;
        tell("SKIP", failure.getDescription());
    }

    @Override
    public void testIgnored(Description test) {
        tell("SKIP", test);
    }

    @Override
    public void testFinished(Description test) {
        if (!failed && !skipped) {
            tell("PASS", test);
        }
    }

    private void tell(String verdict, Description test) {
        out.println("\n" + verdict + " " + test.getDisplayName());
    }
}
