// Four processes pass a MiB round twenty times.
#include <mpi.h>
#include <stdio.h>

static char block[1 << 20];

int main(int count, char **words) {
    int rank, size;
    MPI_Init(&count, &words);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    for (int turn = 0; turn < 20; turn++)
        MPI_Sendrecv_replace(block, sizeof block, MPI_CHAR, (rank + 1) % size, turn, (rank + size - 1) % size, turn, MPI_COMM_WORLD,
                             MPI_STATUS_IGNORE);
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0)
        printf("%d passed 20 MiB on\n", size);
    MPI_Finalize();
    return 0;
}
